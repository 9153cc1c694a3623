"""The platform as a whole, for functions with a grant ``status`` or ``export``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from ...abc import CallServices, Hierarchy
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import Work
from .module import CORE
from .support import changing_services_of, check_grant, give, room, work

_PAGE: Final = 1000


@CORE.function("get_status", waits=True)
def get_status(call: CallContext) -> Work:
    """Give a new buffer with what runs, as a JSON object.

    ``version``; ``calls``, how many are ``running``, ``waiting`` and ``queued``; ``limits``, those of this call;
    ``blob_names``, the functions, each with ``name`` and ``tech_id``; ``blobs``, what these point to, each with
    ``tech_id``, ``content_type`` and ``length``. Nothing is in it about the machine, or about who may do what.

    Returns
    -------
    int
        The buffer's id. -EACCES without a grant ``status``; -ENOSPC when the call's buffers have no room; -EMFILE
        beyond the limit `buffers`; -ENOSYS outside of a cluster and for a function that declares itself deterministic.
    """
    services = changing_services_of(call)
    check_grant(call, "status")
    return work(call, partial(_status, services, call.invocation.limits.to_json()), partial(give, call))


def _status(services: CallServices, limits: dict[str, Any]) -> bytes:
    activity = services.activity()
    functions = services.functions.list()
    blobs = {each.blob_id: (each.content_type, each.size) for each in functions}
    facts = {
        "version": version("my-own-cluster"),
        "calls": {"running": activity.running, "waiting": activity.waiting, "queued": activity.queued},
        "limits": limits,
        "blob_names": [{"name": each.name, "tech_id": each.blob_id} for each in functions],
        "blobs": [
            {"tech_id": blob_id, "content_type": content_type, "length": size}
            for blob_id, (content_type, size) in blobs.items()
        ],
    }
    return json.dumps(facts, ensure_ascii=False).encode()


@CORE.function("export_database", waits=True)
def export_database(call: CallContext) -> Work:
    """Give a new buffer with all that is stored, as a JSON object of keys and values in Base64.

    The keys are those of the Zarr hierarchy (blobs, buffers, key-values), and ``functions/NAME`` for what is known of
    each function. Tokens and keys of the server are not stored there. It is not as of one moment: what changes
    meanwhile comes as it is when it is read.

    Returns
    -------
    int
        The buffer's id. -EACCES without a grant ``export``; -ENOSPC when the call's buffers have no room for it all;
        -EMFILE beyond the limit `buffers`; -EIO when something stored is damaged, with the reason on stderr; -ENOSYS
        outside of a cluster and for a function that declares itself deterministic.
    """
    services = changing_services_of(call)
    check_grant(call, "export")
    return work(call, partial(_export, services, room(call)), partial(give, call))


def _export(services: CallServices, most: int) -> bytearray:
    """Write the object entry by entry; ENOSPC before a value is read that has no room."""
    written = bytearray(b"{")
    for key, size, content in _entries(services):
        text = json.dumps(key, ensure_ascii=False).encode()
        # The colon, two quotes and the comma or the brace behind it.
        if len(written) + len(text) + (size + 2) // 3 * 4 + 4 > most:
            raise GuestErrno(Errno.ENOSPC)
        value = content()
        if value is not None:
            written += b'%s:"%s",' % (text, base64.b64encode(value))
    written[-1:] = b"}" if len(written) > 1 else b"{}"
    return written


def _entries(services: CallServices) -> Iterator[tuple[str, int, Callable[[], bytes | None]]]:
    """Give keys, sizes and what reads the values; a value that has gone since it was listed is None."""
    hierarchy = services.zarr
    for key in _keys(hierarchy):
        size = hierarchy.size(key)
        if size is not None:
            yield key, size, partial(hierarchy.read, key)
    for function in services.functions.list():
        record = json.dumps(function.to_json(), ensure_ascii=False).encode()
        yield f"functions/{quote(function.name, safe='')}", len(record), partial(bytes, record)


def _keys(hierarchy: Hierarchy) -> Iterator[str]:
    after = None
    while page := hierarchy.list(limit=_PAGE, after=after):
        yield from page
        after = page[-1]

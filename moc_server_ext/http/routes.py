"""Which operation answers which method and path: the one table of the web API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..abc import Receiver
from ..errors import MethodNotAllowedError, NotFoundError
from ..model import CallRequest
from .messages import ApiRequest, ApiResponse
from .nouns import (
    backups,
    blobs,
    buffers,
    calls,
    description,
    fsck,
    functions,
    garbage,
    handover,
    keyvalues,
    logs,
    metrics,
    promotion,
    runs,
    status,
    uploads,
    zarr,
)

Operation = Callable[[ApiRequest], ApiResponse]
CallOperation = Callable[[ApiRequest], CallRequest]
"""Reads the head of a request, at once and without waiting, into the call that its body goes to."""
AtOnce = Callable[[ApiRequest], ApiResponse | None]
"""Answers on the event loop, without waiting for a disk or anything else, or gives None: then the operation answers."""
# Begins to store a body that comes in parts, before the first of them is taken.
Begin = Callable[[ApiRequest], Receiver[Any]]

API_PATH = "moc/api/v1/"


class Action(StrEnum):
    """What a caller does to moc by a request, in the words of Jupyter's authorizers."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Route:
    """One path with its methods.

    Parameters
    ----------
    pattern
        Path segments; one in braces stands for any segment that is not empty.
    operations
        By method. HEAD is listed where it is answered.
    streamed
        Whether the operations are of the kind :data:`CallOperation`.
    executes
        Whether its methods, but for reading, are a matter of calling functions, not of changing what is stored.
    receives
        By method: what a body goes into while it comes; others are handed to their operation as a whole.
    tail
        Whether the last segment of the pattern stands for all that follows, slashes included.
    at_once
        By method: a shorter way to the same answer, for what can be told without waiting for anything.
    """

    pattern: tuple[str, ...]
    operations: dict[str, Operation | CallOperation]
    streamed: bool = False
    executes: bool = False
    receives: dict[str, Begin] = field(default_factory=dict)
    tail: bool = False
    at_once: dict[str, AtOnce] = field(default_factory=dict)

    def matches(self, segments: tuple[str, ...]) -> bool:
        """Tell whether this is the route of a path."""
        if len(segments) != len(self.pattern) and not (self.tail and len(segments) > len(self.pattern)):
            return False
        # What lies behind the first segment of a tail is its operation's to judge.
        for expected, found in zip(self.pattern, segments, strict=False):
            # Equal for most; a segment in braces stands for any other that is not empty.
            if found != expected and not (found and expected[0] == "{"):
                return False
        return True


def _route(
    path: str,
    *,
    streamed: bool = False,
    executes: bool = False,
    receives: dict[str, Begin] | None = None,
    tail: bool = False,
    at_once: dict[str, AtOnce] | None = None,
    **operations: Operation | CallOperation,
) -> Route:
    by_method = {method.upper(): operation for method, operation in operations.items()}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]
    return Route(tuple(path.split("/")), by_method, streamed, executes, receives or {}, tail, at_once or {})


ROUTES: tuple[Route, ...] = (
    _route("status", get=status.get_status),
    _route("gc", post=garbage.post_gc),
    _route("openapi.json", get=description.get_openapi),
    _route("metrics", get=metrics.get_metrics),
    _route("functions", get=functions.list_functions),
    _route(
        "functions/{name}",
        get=functions.get_function,
        put=functions.put_function,
        delete=functions.delete_function,
    ),
    _route("functions/{name}/call", post=functions.call_function, streamed=True, executes=True),
    _route("blobs", post=blobs.post_blob, receives={"POST": blobs.receive_blob}),
    _route("blobs/{id}", get=blobs.get_blob),
    _route("buffers", get=buffers.list_buffers),
    _route(
        "buffers/{name}",
        get=buffers.get_buffer,
        put=buffers.put_buffer,
        delete=buffers.delete_buffer,
        receives={"PUT": uploads.receive_buffer},
        at_once={"GET": buffers.glance_at_buffer},
    ),
    _route("buffers/{name}/append", post=buffers.append_buffer, receives={"POST": uploads.receive_appended}),
    _route("buffers/{name}/copy", post=buffers.copy_buffer),
    _route("buffers/{name}/rename", post=buffers.rename_buffer),
    _route(
        "buffers/{name}/log",
        get=logs.get_log,
        put=logs.put_log,
        post=logs.append_to_log,
        delete=logs.delete_log,
        receives={"POST": logs.receive_part},
    ),
    _route("buffers/{name}/log/seal", post=logs.seal_log),
    _route("logs", get=logs.list_logs),
    _route("buffers/{name}/chunks", get=buffers.get_buffer_chunks),
    _route("kv", get=keyvalues.list_keys, post=keyvalues.post_changes),
    _route(
        "kv/{key}",
        get=keyvalues.get_key,
        put=keyvalues.put_key,
        delete=keyvalues.delete_key,
        receives={"PUT": keyvalues.receive_value},
    ),
    _route("kv/{key}/increment", post=keyvalues.increment_key),
    _route("calls", get=calls.list_calls),
    _route("calls/{id}", get=calls.get_call, delete=calls.delete_call, executes=True),
    _route("runs", get=runs.list_runs, post=runs.post_run, executes=True),
    _route("runs/{id}", get=runs.get_run, delete=runs.delete_run, executes=True),
    _route("runs/{id}/output", get=runs.get_run_output),
    _route("zarr", get=zarr.list_zarr_keys),
    _route("zarr/{key}", get=zarr.get_zarr_value, tail=True, at_once={"GET": zarr.glance_at_zarr_value}),
    _route("backups", get=backups.list_backups, post=backups.post_backup),
    _route("backups/verify", post=backups.post_verify),
    _route("take-over", post=backups.post_take_over),
    _route("fsck", post=fsck.post_fsck),
    _route("promote", post=promotion.post_promote),
    _route("handover", post=handover.post_handover),
)


# By noun and length, which leave one or two to look at; those with a tail, which have no length, by noun alone.
_BY_SHAPE: dict[tuple[str, int], list[Route]] = {}
_WITH_TAIL: dict[str, list[Route]] = {}
for _each in ROUTES:
    if _each.tail:
        _WITH_TAIL.setdefault(_each.pattern[0], []).append(_each)
    else:
        _BY_SHAPE.setdefault((_each.pattern[0], len(_each.pattern)), []).append(_each)


def find_action(method: str, segments: tuple[str, ...]) -> Action:
    """Tell what a request does, also one that no operation answers."""
    if method in ("GET", "HEAD"):
        return Action.READ
    return Action.EXECUTE if any(each.executes and each.matches(segments) for each in ROUTES) else Action.WRITE


def find_operation(method: str, segments: tuple[str, ...]) -> tuple[Route, Operation | CallOperation]:
    """Look up who answers.

    Raises
    ------
    NotFoundError
        No route has this path.
    MethodNotAllowedError
        The path is there, but not for this method; the allowed ones are in ``details["allowed"]``.
    """
    noun = segments[0]
    for route in _BY_SHAPE.get((noun, len(segments))) or _WITH_TAIL.get(noun) or ():
        if route.matches(segments):
            operation = route.operations.get(method)
            if operation is None:
                raise MethodNotAllowedError(method, allowed=sorted(route.operations))
            return route, operation
    raise NotFoundError(f"The API has no address {'/'.join(segments)[:200]!r}.")

"""What there is on a platform as a widget: functions, buffers, keys and recent calls, and what is inside of each.

The widget carries messages between the front end and the platform. What is listed is :mod:`.listing`'s affair; a buffer
or a value that is chosen is looked into by an :class:`.inspection.Inspection`, as in an inspector of its own. Importing
this module imports ipywidgets.

========= ================== =========================================================================================
from there fields            answered with
========= ================== =========================================================================================
list                         listing (tables), or trouble
choose    kind, id           opened (kind, id, about) with the first bytes, of a buffer or a key; described (kind, id,
                             facts, is_running) of a function or a call; or trouble
cancel    id                 described, and a listing
inspect   message            inspected (message) with what the inspection answered
========= ================== =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from traitlets import Dict, Unicode, default

from moc_server_ext.errors import InvalidInputError, MocError

from .assets import inspector_script, style
from .browse_page import browse_page
from .inspection import Inspection
from .lanes import Lane
from .listing import ValueHandle, describe_call, describe_function, list_platform
from .placing import PlacedWidget, Publish

if TYPE_CHECKING:
    from moc_server_ext.client.client import Client

_ID_CHARACTERS: Final = 16 << 10


class BrowseWidget(PlacedWidget):
    """A view over a whole platform.

    Parameters
    ----------
    client
        The platform; MocError if it cannot be asked.
    publish
        See :class:`.placing.PlacedWidget`.
    """

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    origin = Unicode().tag(sync=True)
    listing = Dict().tag(sync=True)

    def __init__(self, client: Client, publish: Publish | None = None) -> None:
        self._client = client
        self._lanes = {name: Lane(f"moc_browse_{name}") for name in ("list", "choose")}
        self._choosing = Lock()
        self._inspection: Inspection | None = None
        super().__init__(publish, listing=list_platform(client.platform), origin=client.origin)

    @default("_esm")
    def _read_esm(self) -> str:
        return inspector_script("browse")

    @default("_css")
    def _read_css(self) -> str:
        return style("place", "inspector/inspector", "browse")

    def _static_bundle(self) -> dict[str, str]:
        return browse_page(self._client.origin, self.listing)

    def _take(self, message: object) -> None:
        if not isinstance(message, dict):
            return
        kind, identity = message.get("kind"), message.get("id")
        if message.get("type") == "list":
            self._do("list", self._list)
        elif message.get("type") == "inspect":
            inspection = self._inspection
            if inspection is not None:
                inspection.take(message.get("message"))
        elif message.get("type") in ("choose", "cancel"):
            if not isinstance(identity, str) or len(identity) > _ID_CHARACTERS or kind not in self._choices:
                self._trouble("What is chosen is a function, a buffer, a key or a call, by its name.")
            elif message["type"] == "cancel":
                self._do("choose", lambda: self._cancel(identity))
            else:
                self._do("choose", lambda: self._choices[kind](identity))

    @property
    def _choices(self) -> Mapping[object, Callable[[str], None]]:
        return {
            "functions": lambda name: self._describe("functions", name, describe_function(self._client.platform, name)),
            "buffers": self._open_buffer,
            "keys": self._open_value,
            "calls": self._describe_call,
        }

    def _do(self, lane: str, work: Callable[[], None]) -> None:
        def guarded(_: object) -> None:
            try:
                work()
            except MocError as error:
                self._trouble(error.message)

        self._lanes[lane].put(guarded)

    def _trouble(self, text: str) -> None:
        self.send({"type": "trouble", "message": text[:2000]})

    def _list(self) -> None:
        listing = list_platform(self._client.platform)
        # Kept as state, so that a page that is loaded anew begins with it.
        self.listing = listing
        self.send({"type": "listing"})

    def _describe(self, kind: str, identity: str, facts: Sequence[Any], *, is_running: bool = False) -> None:
        self._replace(None)
        self.send({"type": "described", "kind": kind, "id": identity, "facts": list(facts), "is_running": is_running})

    def _describe_call(self, call_id: str) -> None:
        facts, is_running = describe_call(self._client.platform, call_id)
        self._describe("calls", call_id, facts, is_running=is_running)

    def _cancel(self, call_id: str) -> None:
        self._client.platform.calls.cancel(call_id)
        self._describe_call(call_id)
        self._list()

    def _open_buffer(self, name: str) -> None:
        self._look_into("buffers", name, self._client.buffers[name])

    def _open_value(self, identity: str) -> None:
        try:
            key = bytes.fromhex(identity)
        except ValueError:
            raise InvalidInputError("A key is chosen by its bytes in hex.") from None
        self._look_into("keys", identity, ValueHandle(self._client.platform, key))

    def _look_into(self, kind: str, identity: str, handle: Any) -> None:
        inspection = Inspection(handle, self._carry)
        version = inspection.subject.open()
        self._replace(inspection)
        self.send({"type": "opened", "kind": kind, "id": identity, "about": dict(version.about)}, [version.first])

    def _replace(self, inspection: Inspection | None) -> None:
        with self._choosing:
            before, self._inspection = self._inspection, inspection
        if before is not None:
            before.close()

    def _carry(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        self.send({"type": "inspected", "message": dict(content)}, list(buffers))

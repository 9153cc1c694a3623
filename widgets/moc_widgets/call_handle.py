"""A started call with its state and a Cancel button, for a front end that runs widgets.

The widget follows its call by itself. What stands in its place without widgets is made by :mod:`moc_widgets.call_page`;
where and for how long it is shown is the affair of who shows it. Importing this module imports ipywidgets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anywidget import AnyWidget
from traitlets import Bool, Unicode, default

from .call_page import call_page
from .page import printable

if TYPE_CHECKING:
    from moc_server_ext.client.started import CallHandle

_STATIC: Final = Path(__file__).parent / "static"


class CallHandleWidget(AnyWidget):
    """One started call. Of the call nothing is synced but its function's name, its state and whether to offer Cancel.

    The front end changes none of these: it sends ``{"type": "cancel"}`` when the button is pressed, and ``{"type":
    "gone"}`` when a view was taken away. Once the call has ended as well the widget closes. Until then it stays open,
    because a page that was loaded anew has only the widget to learn the end from.

    Parameters
    ----------
    handle
        The call. Its ``cancel`` is called on whatever thread the front end's messages come in on.
    """

    # Read for each widget: anywidget's own way to read files never lets go of a widget that has used one.
    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    function = Unicode().tag(sync=True)
    state = Unicode().tag(sync=True)
    cancellable = Bool().tag(sync=True)

    def __init__(self, handle: CallHandle) -> None:
        self._handle = handle
        state = handle.state.value
        function = printable(handle.function, keep="")
        super().__init__(function=function, state=state, cancellable=state == "running")
        # ipykernel 7.4 hands what comes on a comm to the shell that spoke on it last, not to the subshell that the
        # front end chose; the button would not be heard while a cell runs.
        self.comm._reply_subshell_for = None
        self.on_msg(self._take)
        handle.when_ended(self._follow)

    @default("_esm")
    def _read_esm(self) -> str:
        return (_STATIC / "call_handle.js").read_text(encoding="utf-8")

    @default("_css")
    def _read_css(self) -> str:
        return (_STATIC / "call_handle.css").read_text(encoding="utf-8")

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, **call_page(self._handle)}, metadata

    def _take(self, _: object, content: object, buffers: object) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "cancel":
            self._handle.cancel()
            self.cancellable = False
        elif kind == "gone" and self._handle.state != "running":
            self.close()
            self.layout.close()

    def _follow(self, handle: CallHandle) -> None:
        self.cancellable = False
        self.state = handle.state.value

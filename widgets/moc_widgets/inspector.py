"""The inspector of a stored buffer as a widget: hex, text, array and image, page by page.

The widget carries messages between the front end and an :class:`.inspection.Inspection`. Importing this module imports
ipywidgets. What stands in the widget's place without widgets is made by :mod:`.buffer_page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traitlets import Bytes, Dict, Unicode, default

from .assets import inspector_script, style
from .buffer_page import buffer_page
from .inspection import Inspection
from .placing import PlacedWidget, Publish

if TYPE_CHECKING:
    from moc_server_ext.client.handles import BufferHandle


class InspectorWidget(PlacedWidget):
    """One open inspector. Of the buffer only facts and its first bytes are synced; all else is asked for.

    Parameters
    ----------
    handle
        The buffer; BufferNotFoundError if it is not there.
    publish, page
        See :class:`.placing.PlacedWidget`.
    """

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    about = Dict().tag(sync=True)
    first = Bytes().tag(sync=True)

    def __init__(
        self, handle: BufferHandle, publish: Publish | None = None, page: dict[str, str] | None = None
    ) -> None:
        self._handle = handle
        self._inspection = Inspection(handle, self._tell)
        version = self._inspection.subject.open()
        super().__init__(publish, page, about=dict(version.about), first=version.first)

    @default("_esm")
    def _read_esm(self) -> str:
        return inspector_script("inspector_face")

    @default("_css")
    def _read_css(self) -> str:
        return style("place", "inspector/inspector")

    def _static_bundle(self) -> dict[str, str]:
        return buffer_page(self._handle)

    def _take(self, message: object) -> None:
        self._inspection.take(message)

    def _tell(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        if content["type"] == "about":
            # Kept as state, so that a page that is loaded anew begins with it.
            with self.hold_sync():
                self.about, self.first = dict(content["about"]), buffers[0]
        self.send(dict(content), list(buffers))

    def close(self) -> None:
        """End what is under way, and the widget."""
        inspection = getattr(self, "_inspection", None)
        if inspection is not None:
            inspection.close()
        super().close()

"""Widgets that leave a static page behind: what a notebook saves of them needs no kernel to be seen again.

JupyterLab shows a saved widget whose model is gone as "model not found", whatever else the output holds. A widget of
this kind therefore does not stay in the output. It is shown as every widget first; once it lives in a page of Jupyter's
it asks for its place, and the output becomes a static page with a mark, into which the front end then moves what it
shows. Where nobody asks (front ends of other makers) the output stays a widget.
"""

from __future__ import annotations

import html
import threading
import uuid
from collections.abc import Callable
from typing import Any

from anywidget import AnyWidget
from traitlets import Unicode

Publish = Callable[[dict[str, Any], dict[str, Any], bool], None]
"""Shows a bundle with its metadata as an output, or, with True, in the place of the one before."""


class PlacedWidget(AnyWidget):
    """The base of widgets that leave a static page behind.

    Subclasses say what that is (`_static_bundle`) and what becomes of messages (`_take`).

    Parameters
    ----------
    publish
        Shows outputs; without it the widget is one like all others.
    page
        The static page, if it is known already; else it is made when it is first needed.
    """

    place = Unicode().tag(sync=True)

    def __init__(self, publish: Publish | None, page: dict[str, str] | None = None, **state: Any) -> None:
        self._publish = publish
        self._page = page
        self._lock = threading.Lock()
        self._is_shown = self._is_asked = False
        super().__init__(place=uuid.uuid4().hex if publish else "", **state)
        # ipykernel 7.4 hands what comes on a comm to the shell that spoke on it last, not to the subshell that the
        # front end chose; nothing would be answered while a cell runs.
        self.comm._reply_subshell_for = None
        self.on_msg(self._hear)

    def show(self) -> None:
        """Show it as an output that becomes static as soon as the front end takes it from there."""
        if self._publish is None:
            raise TypeError("a widget without a publisher is shown by its front end")
        self._publish(*self._repr_mimebundle_(), False)
        with self._lock:
            self._is_shown = True
            is_asked = self._is_asked
        if is_asked:
            self._settle()

    def static_page(self) -> dict[str, str]:
        """Give the page that is saved, with the mark of the place."""
        bundle = self._known_page()
        page = bundle.get("text/html") or f"<pre>{html.escape(bundle['text/plain'])}</pre>"
        return {**bundle, "text/html": f'<div class="moc-place" id="moc-{self.place}">{page}</div>'}

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, **self._known_page()}, metadata

    def _known_page(self) -> dict[str, str]:
        if self._page is None:
            self._page = self._static_bundle()
        return self._page

    def _static_bundle(self) -> dict[str, str]:
        raise NotImplementedError

    def _take(self, message: object) -> None:
        raise NotImplementedError

    def _hear(self, _: object, content: object, buffers: object) -> None:
        if not isinstance(content, dict) or content.get("type") != "place":
            self._take(content)
            return
        with self._lock:
            # It may be asked for before the output has been shown, which would then have nothing to take the place of.
            is_first, self._is_asked = not self._is_asked, True
            is_shown = self._is_shown
        if is_first and is_shown:
            self._settle()

    def _settle(self) -> None:
        if self._publish is not None:
            self._publish(self.static_page(), {}, True)

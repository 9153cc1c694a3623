"""A started call as static HTML and as plain text: its function and how far it is.

What a notebook keeps of a call, and what a front end shows that runs no widgets. The widget with the Cancel button is
:mod:`moc_widgets.call_handle`; nothing of it is imported here.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from .page import printable

if TYPE_CHECKING:
    from moc_server_ext.client.started import CallHandle


def call_page(handle: CallHandle) -> dict[str, str]:
    """Show how far `handle` is now, as a MIME bundle of ``text/html`` and ``text/plain``."""
    state = handle.state.value
    hint = "; <code>.cancel()</code> ends it" if state == "running" else ""
    name = html.escape(printable(handle.function, keep=""))
    return {
        "text/plain": repr(handle),
        "text/html": f'<div role="status">call of <code>{name}</code>: <b>{state}</b>{hint}</div>',
    }

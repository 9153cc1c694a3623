"""Buffers and the whole platform below their cells, to look around in; what a notebook keeps of them is a static page.

Owns where they are shown; how they look is :mod:`moc_widgets`'. Only where a person watches: for a machine the static
page alone is the output.
"""

from __future__ import annotations

import contextvars
import uuid
from typing import TYPE_CHECKING, Any

from .progress import has_front_end, is_watched

if TYPE_CHECKING:
    from moc_server_ext.client.client import Client
    from moc_server_ext.client.handles import BufferHandle
    from moc_widgets.placing import Publish


def is_interactive(shell: Any) -> bool:
    """Tell whether a person sees what is shown now, in a front end that may run widgets."""
    return has_front_end(shell) and is_watched(shell)


def show_inspector(shell: Any, handle: BufferHandle, page: dict[str, str]) -> None:
    """Show the inspector of a buffer below the cell; `page` is what the notebook keeps."""
    from moc_widgets.inspector import InspectorWidget

    InspectorWidget(handle, _publisher(shell), page).show()


def show_browse(shell: Any, client: Client) -> None:
    """Show the browse view of a platform below the cell."""
    from moc_widgets.browse import BrowseWidget

    BrowseWidget(client, _publisher(shell)).show()


def _publisher(shell: Any) -> Publish:
    """Make what publishes outputs of the cell that runs now, and later what takes their place, from any thread."""
    display_id = {"display_id": uuid.uuid4().hex}
    # The kernel files a thread's output under the cell whose context the thread runs in.
    context = contextvars.copy_context()

    def publish(data: dict[str, Any], metadata: dict[str, Any], is_update: bool) -> None:
        context.copy().run(shell.display_pub.publish, data, metadata, transient=display_id, update=is_update)

    return publish

"""Started calls below their cells: shown with their state, and with a Cancel button while they run.

Owns where and when a call is shown; how it looks is :mod:`moc_widgets.call_page` and :mod:`moc_widgets.call_handle`.
"""

from __future__ import annotations

import contextvars
import uuid
from typing import TYPE_CHECKING, Any

from moc_widgets.call_page import call_page

from .progress import has_front_end, is_watched

if TYPE_CHECKING:
    from moc_server_ext.client.started import CallHandle


def show_handle(shell: Any, handle: CallHandle) -> None:
    """Show a started call below the cell, and its end in the same place when it comes.

    Where nobody watches it is only named: a saved notebook must not depend on how long the call took.
    """
    if not has_front_end(shell):
        print(repr(handle))
        return
    if not is_watched(shell):
        shell.display_pub.publish({"text/plain": f"<call of {handle.function!r}>"})
        return
    if handle.state != "running":
        shell.display_pub.publish(call_page(handle))
        return
    # Only here: most notebooks start no calls, and need no widgets.
    from moc_widgets.call_handle import CallHandleWidget

    display_id = {"display_id": uuid.uuid4().hex}
    # The kernel files a thread's output under the cell whose context the thread runs in.
    context = contextvars.copy_context()
    data, metadata = CallHandleWidget(handle)._repr_mimebundle_()
    shell.display_pub.publish(data, metadata, transient=display_id)

    def replace(_: object) -> None:
        # Static from here on: a notebook that is opened again knows nothing of a widget that was.
        context.run(shell.display_pub.publish, call_page(handle), transient=display_id, update=True)

    handle.when_ended(replace)

"""Started calls as they are shown below their cells: by a widget while somebody watches, by plain text otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from guests import guest
from moc_server_ext.client import connect

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
START_AND_SHOW = ("%moc call --noblock {}", "%moc call --noblock -o h {}\nh")


def press_cancel(kernel: Any, cell: Any, *, subshell: str | None = None) -> None:
    """Send what the front end sends when the button below this cell is pressed."""
    session, (shown,) = kernel.client.session, cell.shown
    data = {"method": "custom", "content": {"type": "cancel"}}
    message = session.msg("comm_msg", {"comm_id": shown[WIDGET_VIEW]["model_id"], "data": data})
    message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)


def make_subshell(kernel: Any) -> str:
    """Ask for a subshell, as JupyterLab does for the messages of widgets."""
    client = kernel.client
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    return client.get_control_msg(timeout=60)["content"]["subshell_id"]


@pytest.fixture
def sleeping_kernel(fresh_kernel: Any) -> Any:
    """Give a kernel in which nothing has happened, with a guest that only sleeps."""
    with connect(storage=fresh_kernel.storage) as moc:
        moc.functions.put("sleep", guest("sleep"))
    return fresh_kernel


@pytest.mark.parametrize("code", START_AND_SHOW)
def test_the_button_cancels_the_call_and_what_is_kept_below_the_cell_is_static(live_kernel, code):
    live_kernel.do("%moc functions")
    cell = live_kernel.do(code.format("spin"), watched=True)
    (shown,) = cell.shown
    assert set(shown) == {WIDGET_VIEW, "text/html", "text/plain"}
    assert shown["text/plain"] == "<call of 'spin': running>"
    assert "running" in shown["text/html"]
    press_cancel(live_kernel, cell)
    live_kernel.follow(cell, lambda: len(cell.shown) == 2)
    assert set(cell.shown[1]) == {"text/html", "text/plain"}
    assert cell.shown[1]["text/plain"] == "<call of 'spin': cancelled>"
    assert (cell.stdout, cell.stderr, cell.error, cell.result) == ("", "", None, None)
    assert cell.messages[-1] == "update_display_data"


def test_the_button_is_heard_while_another_cell_runs(live_kernel):
    subshell = make_subshell(live_kernel)
    started = live_kernel.do("h = %moc call --noblock sleep", watched=True)
    waiting = live_kernel.begin("print('waiting', flush=True)\nh.wait()", watched=True)
    live_kernel.follow(waiting, lambda: "waiting" in waiting.stdout)
    press_cancel(live_kernel, started, subshell=subshell)
    live_kernel.follow(waiting, lambda: False)
    assert waiting.error["ename"] == "CancelledError"


def test_a_call_that_has_ended_needs_no_widget(live_kernel):
    live_kernel.do("%moc call --noblock -o sum add 20 22\nsum.wait()")
    cell = live_kernel.do("sum", watched=True)
    assert [set(each) for each in cell.shown] == [{"text/html", "text/plain"}]
    assert cell.shown[0]["text/plain"] == "<call of 'add': done>"


def test_where_nobody_watches_nothing_tells_of_widgets(live_kernel):
    for code in START_AND_SHOW:
        cell = live_kernel.do(code.format("sleep"))
        assert cell.shown == [{"text/plain": "<call of 'sleep'>"}]
        assert not [kind for kind in cell.messages if kind.startswith("comm")]


def test_widgets_are_loaded_when_the_first_running_call_is_shown_and_not_before(sleeping_kernel):
    loaded = "import sys\nprint([name for name in ('anywidget', 'ipywidgets') if name in sys.modules])"
    sleeping_kernel.do("%moc functions\n%moc call --noblock -o h sleep", watched=True)
    assert sleeping_kernel.do(f"%moc call --noblock sleep\n{loaded}").stdout == "[]\n"
    sleeping_kernel.do("h", watched=True)
    assert sleeping_kernel.do(loaded).stdout == "['anywidget', 'ipywidgets']\n"


def test_a_kernel_ends_without_noise_while_a_call_is_shown(sleeping_kernel):
    log = sleeping_kernel.storage.parent / "kernel.log"
    sleeping_kernel.do(f"import atexit, os, sys\nos.dup2(os.open({str(log)!r}, os.O_CREAT | os.O_WRONLY), 2)")
    sleeping_kernel.do("atexit.register(os.write, 2, b'ended')\n%moc call --noblock sleep", watched=True)
    sleeping_kernel.manager.shutdown_kernel()
    assert log.read_text() == "ended"

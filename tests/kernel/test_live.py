"""Calls while they run: what the cell shows of them, interrupts, handles; embedded and through a server."""

from __future__ import annotations

import time

import pytest

from guests import guest
from moc_server_ext.client import connect
from support import start_server

WAIT_SECONDS = 60


def test_output_is_shown_while_the_guest_runs_and_an_interrupt_ends_it(live_kernel):
    for guest_name in ("pause", "pant"):  # One waits, the other computes.
        cell = live_kernel.begin(f"%%moc call {guest_name}\nhello", watched=True)
        live_kernel.follow(cell, lambda cell=cell: "hello" in cell.stdout)
        assert not cell.has_ended
        live_kernel.manager.interrupt_kernel()
        live_kernel.follow(cell, lambda: False)
        assert cell.error["ename"] == "KeyboardInterrupt"
        assert cell.error_text == "moc: interrupted"
        assert cell.stdout.split() == ["hello"]
    assert live_kernel.do("%moc call add 1 2").stdout == "3\n"


def test_stderr_comes_while_somebody_watches_and_behind_the_output_when_nobody_does(live_kernel):
    cell = live_kernel.begin("%%moc call pause\nboth", watched=True)
    live_kernel.follow(cell, lambda: "both" in cell.stdout and "both" in cell.stderr)
    live_kernel.manager.interrupt_kernel()
    live_kernel.follow(cell, lambda: False)

    cell = live_kernel.run("%%moc call --limit timeout_seconds=2 pause\nboth\n")
    assert (cell.stdout, cell.stderr) == ("both\n", "both\n")
    assert [each for each in cell.messages if each in ("stream", "error")] == ["stream", "stream", "error"]
    assert cell.error["ename"] == "LimitExceededError"
    assert "guest stderr" not in cell.error_text


def test_text_in_parts_is_the_same_as_in_one_and_what_is_no_text_is_a_page(live_kernel):
    live_kernel.do("text = 'é€😀' * 50_000")
    cell = live_kernel.do("%moc call -i text cat")
    assert cell.stdout.startswith("é€😀é€😀")
    assert "\ufffd" not in cell.stdout
    assert "of 450,000 bytes are shown; `-o NAME` keeps them all" in cell.stdout
    assert cell.displayed_bytes <= 64 << 10
    cell = live_kernel.do("cut = 'é'.encode()[:1]\nr = %moc call -i cut cat")
    assert (cell.stdout, len(cell.shown)) == ("", 1)
    assert live_kernel.do("print(r.output == cut)").stdout == "True\n"
    late = live_kernel.do("late = b'text\\n' * 20 + bytes(20)\n%moc call -i late cat")
    assert "00 00 00 00" in late.shown[0]["text/plain"]


def test_an_image_that_is_text_is_shown_as_an_image(live_kernel):
    live_kernel.do("svg = '<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>'\n%moc call -i svg cat")
    assert live_kernel.do("%moc call -i svg cat").stdout == '<svg xmlns="http://www.w3.org/2000/svg"></svg>\n'


def test_what_is_kept_in_a_variable_is_not_shown(live_kernel):
    cell = live_kernel.do("x = b'said'\n%moc call -i x -o kept complain")
    assert (cell.stdout, cell.stderr) == ("", "said\n")
    assert live_kernel.do("print(kept)").stdout == "b''\n"


def test_the_value_of_a_call_has_all_that_was_shown_and_more(live_kernel):
    live_kernel.do("long = b'0123456789' * 20_000\nr = %moc call -i long cat")
    assert live_kernel.do("print(r.output == long, r.exit_code)").stdout == "True 0\n"
    live_kernel.do("r = %moc call -i long complain")
    assert live_kernel.do("print(r.stderr == long)").stdout == "True\n"


def test_control_characters_of_stderr_take_no_more_room_than_there_is(live_kernel):
    cell = live_kernel.do("noise = b'\\x01' * 60_000\n%moc call -i noise complain")
    assert "\\x01" in cell.stderr
    assert cell.displayed_bytes <= 64 << 10


# -- handles ----------------------------------------------------------------------------------------------------------


def test_a_started_call_goes_on_while_other_cells_run(live_kernel):
    cell = live_kernel.do("%moc call --noblock -o h sleep")
    assert (cell.stdout, cell.shown, cell.result) == ("", [], None)
    assert live_kernel.do("%moc call add 1 2\nprint(h)").stdout == "3\n<call of 'sleep': running>\n"
    live_kernel.do("h.cancel()")
    assert live_kernel.run("h.wait()").error["ename"] == "CancelledError"
    assert live_kernel.do("print(h.state)").stdout == "cancelled\n"


def test_a_handle_is_awaited_in_a_cell(live_kernel):
    live_kernel.do("%moc call --noblock -o sum add 20 22")
    assert live_kernel.do("print((await sum).result)").stdout == "42\n"
    assert live_kernel.do("await sum").result == {"text/plain": "CallResult(result=42)"}
    live_kernel.do("from moc_kernel import connect\nmoc = connect()")
    live_kernel.do("import asyncio\ncalls = [moc.call_async('add', n, 1) for n in range(3)]")
    assert live_kernel.do("print([r.result for r in await asyncio.gather(*calls)])").stdout == "[1, 2, 3]\n"


# The signal is sent from within, when the cell is where it shall hit it.
INTERRUPT_WHILE_AWAITING = """
import asyncio, os, signal
asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
await moc.call_async('spin')
"""
INTERRUPT_WHILE_WAITING = """
import os, signal, sys, threading, time, traceback
main = threading.main_thread().ident
def interrupt():
    while traceback.extract_stack(sys._current_frames()[main])[-1].name != "wait":
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
h.wait()
"""


def test_an_interrupt_of_an_asynchronous_call_ends_the_guest_and_that_of_a_wait_does_not(live_kernel):
    live_kernel.do("from moc_kernel import connect\nmoc = connect()\nh = moc.start('sleep')")
    assert live_kernel.run(INTERRUPT_WHILE_AWAITING).error["ename"] in ("CancelledError", "KeyboardInterrupt")
    assert live_kernel.run(INTERRUPT_WHILE_WAITING).error["ename"] == "KeyboardInterrupt"
    assert live_kernel.do("print(h.state)").stdout == "running\n"
    live_kernel.do("h.cancel()")


def test_a_handle_is_shown_with_its_state_and_follows_it_while_somebody_watches(live_kernel):
    machine = live_kernel.do("%moc call --noblock add 1 2")
    assert machine.shown == [{"text/plain": "<call of 'add'>"}]
    cell = live_kernel.do("h = %moc call --noblock sleep", watched=True)
    assert "sleep" in cell.shown[0]["text/html"]
    assert cell.shown[0]["text/plain"] == "<call of 'sleep': running>"
    live_kernel.do("h.cancel()\ntry:\n    h.wait()\nexcept Exception: pass")
    assert live_kernel.do("h", watched=True).shown[0]["text/plain"] == "<call of 'sleep': cancelled>"


# -- the end of a kernel ----------------------------------------------------------------------------------------------


def test_a_kernel_that_dies_takes_its_calls_with_it(tmp_path, fresh_kernel):
    server = start_server(fresh_kernel.storage)
    try:
        with connect(storage=fresh_kernel.storage) as moc:
            moc.functions.put("spin", guest("spin"))
            fresh_kernel.do("%moc call --noblock -o h spin")
            cell = fresh_kernel.begin("print('at it', flush=True)\n%moc call spin")
            fresh_kernel.follow(cell, lambda: "at it" in cell.stdout)
            _until(lambda: moc.status()["calls"]["running"] == 2)
            fresh_kernel.manager.signal_kernel(9)
            _until(lambda: moc.status()["calls"]["running"] == 0)
    finally:
        server.kill()


def _until(true) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        if time.monotonic() > deadline:
            pytest.fail("it did not come about")
        time.sleep(0.02)  # There is no event to wait for: the server's own count says it.

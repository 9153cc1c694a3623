"""Progress in a terminal, and its absence elsewhere."""

import io
from types import SimpleNamespace

import pytest

from moc_server_ext.cli import progress
from moc_server_ext.cli.progress import SilentProgress, TerminalProgress, terminal_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    # pytest puts its own sys.stderr back between a fixture and its test.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_what_takes_longer_is_shown_with_its_label(terminal, monkeypatch):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0)
    with terminal_progress("compiling f.c", 4) as shown:
        shown._timer.join()
        shown.update(2, label="building the C library [once]")
        shown._shown[0].refresh()
    assert "building the C library [once]" in terminal.getvalue()


def test_what_ends_soon_is_not_shown(terminal):
    with terminal_progress("quick") as shown:
        assert isinstance(shown, TerminalProgress)
        shown.update(1, 2)
    shown._timer.join()
    assert terminal.getvalue() == ""


def test_a_timer_that_fires_after_the_end_shows_nothing(terminal):
    late = TerminalProgress("late", None)
    late.start()
    late.end()
    late._show()
    assert terminal.getvalue() == ""


def test_nothing_is_shown_where_stderr_is_no_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    with terminal_progress("long", 3) as silent:
        assert isinstance(silent, SilentProgress)
        silent.update(1)
    assert stream.getvalue() == ""

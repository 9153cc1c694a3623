"""The clock of an engine."""

from __future__ import annotations

import threading

from moc_server_ext.engines.wasm import ticker as ticker_module
from moc_server_ext.engines.wasm.ticker import Ticker


def clock_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "moc_epoch"]


def test_one_thread_ticks_for_all_guests_and_ends_after_close():
    ticked = threading.Event()
    others = clock_threads()
    ticker = Ticker(ticked.set)
    assert clock_threads() == others
    ticker.enter()
    ticker.enter()
    assert ticked.wait(60)
    (thread,) = [each for each in clock_threads() if each not in others]
    ticker.leave()
    ticker.close()
    ticked.clear()
    assert ticked.wait(60), "a guest still runs"
    ticker.leave()
    thread.join(60)
    assert not thread.is_alive()


def test_it_sleeps_when_nothing_runs_and_wakes_for_the_next_guest(monkeypatch):
    def counted(ticker, ticked):
        ticker.enter()
        assert ticked.wait(60)
        ticker.leave()

    sleep_and_wake(monkeypatch, counted)


def test_it_wakes_for_a_guest_that_only_says_that_it_runs(monkeypatch):
    def touched(ticker, ticked):
        ticker.touch()
        assert ticked.wait(60)

    sleep_and_wake(monkeypatch, touched)


def sleep_and_wake(monkeypatch, run):
    monkeypatch.setattr(ticker_module, "_LINGER_TICKS", 1)
    asleep = threading.Event()
    ticked = threading.Event()

    class Wake(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asleep.set()
            return super().wait(timeout)

    ticker = Ticker(ticked.set)
    ticker._wake = Wake()
    for _ in range(2):
        asleep.clear()
        ticked.clear()
        run(ticker, ticked)
        assert asleep.wait(60)
    ticker.close()


def test_no_touch_is_lost_between_looking_and_falling_asleep(monkeypatch):
    monkeypatch.setattr(ticker_module, "_LINGER_TICKS", 1)
    monkeypatch.setattr(ticker_module, "TICK_SECONDS", 0)
    ticked = threading.Event()
    ticker = Ticker(ticked.set)
    for _ in range(2000):
        ticked.clear()
        ticker.touch()
        assert ticked.wait(60)
    ticker.close()

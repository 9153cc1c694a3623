"""How many calls run and wait."""

from __future__ import annotations

import threading

import pytest

from moc_server_ext.admission import Admission
from moc_server_ext.errors import OverloadedError, UnavailableError


def test_a_place_is_given_back_after_a_failure() -> None:
    admission = Admission(places=1, queued=0)
    with pytest.raises(KeyError), admission:
        raise KeyError
    with admission:
        assert admission.running == 1
    assert admission.running == 0


def test_a_call_beyond_places_and_queue_is_refused_at_once() -> None:
    admission = Admission(places=1, queued=0)
    with admission, pytest.raises(OverloadedError, match="busy"), admission:
        pass


def test_a_queued_call_that_waits_too_long_is_refused() -> None:
    admission = Admission(places=1, queued=1, wait_seconds=0.01)
    with admission, pytest.raises(OverloadedError), admission:
        pass


def test_a_queued_call_runs_when_a_place_is_free() -> None:
    admission = Admission(places=1, queued=1)
    ran = threading.Event()

    def wait_for_a_place() -> None:
        with admission:
            ran.set()

    thread = threading.Thread(target=wait_for_a_place)
    with admission:
        thread.start()
        assert not ran.is_set()
    thread.join()
    assert ran.is_set()
    assert admission.wait_idle(1)


def test_closing_refuses_those_who_wait() -> None:
    admission = Admission(places=1, queued=1)
    refusals: list[UnavailableError] = []

    def wait_for_a_place() -> None:
        try:
            with admission:
                pass
        except UnavailableError as error:
            refusals.append(error)

    thread = threading.Thread(target=wait_for_a_place)
    with admission:
        thread.start()
        admission.close()
        assert not admission.wait_idle(0.01)
    thread.join()
    assert [str(each) for each in refusals] == ["The cluster is closed and takes no further calls."]
    assert admission.wait_idle(1)


def test_many_threads_never_exceed_the_places() -> None:
    admission = Admission(places=3, queued=100)
    lock = threading.Lock()
    now = most = 0

    def call() -> None:
        nonlocal now, most
        for _ in range(50):
            with admission:
                with lock:
                    now += 1
                    most = max(most, now)
                with lock:
                    now -= 1

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert admission.running == 0

"""Tasks on threads."""

from __future__ import annotations

import threading

import pytest

from moc_server_ext.plans.executors.threads import ThreadsExecutor


def ignore() -> None:
    pass


def test_results_come_in_the_order_of_the_tasks() -> None:
    both = threading.Barrier(2, timeout=60)
    order: list[int] = []
    later = threading.Event()

    def work(task: int) -> int:
        both.wait()
        if task == 0:
            assert later.wait(60)
        order.append(task)
        later.set()
        return task * 10

    assert ThreadsExecutor(2).run([0, 1], work, done=ignore, stop=ignore) == [0, 10]
    assert order == [1, 0]


def test_each_task_runs_once_and_is_counted() -> None:
    seen: list[int] = []
    count: list[None] = []
    ThreadsExecutor(3).run(range(100), seen.append, done=lambda: count.append(None), stop=ignore)
    assert sorted(seen) == list(range(100))
    assert len(count) == 100


def test_the_first_failure_stops_the_others_and_is_the_one_raised() -> None:
    running = threading.Barrier(2, timeout=60)
    stopped = threading.Event()
    began: list[int] = []

    def work(task: int) -> None:
        began.append(task)
        running.wait()
        if task == 0:
            raise ValueError("the first")
        assert stopped.wait(60)
        raise RuntimeError("a consequence")

    with pytest.raises(ValueError, match="the first"):
        ThreadsExecutor(2).run(range(50), work, done=ignore, stop=stopped.set)
    assert sorted(began) == [0, 1]


def test_no_tasks_give_no_results() -> None:
    assert ThreadsExecutor().run([], ignore_task, done=ignore, stop=ignore) == []


def ignore_task(task: object) -> None:
    raise AssertionError(task)


def test_no_thread_is_left_behind() -> None:
    ThreadsExecutor(4).run(range(8), lambda task: task, done=ignore, stop=ignore)
    assert not [each.name for each in threading.enumerate() if each.name.startswith("moc-task")]


def test_a_thread_that_cannot_be_had_ends_the_stage_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []
    stopped = threading.Event()

    def refuse_the_second(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_second)
    with pytest.raises(RuntimeError, match="can't start"):
        ThreadsExecutor(2).run([0, 1], lambda task: stopped.wait(60), done=ignore, stop=stopped.set)
    assert not started[0].is_alive()

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from moc_server_ext.errors import KeyNotFoundError, StorageError
from moc_server_ext.storage import Storage
from moc_server_ext.storage.turns import BATCH_MAX

LARGE = b"l" * 100_000


class Count:
    """A shipper that counts the transactions."""

    def __init__(self) -> None:
        self.commits = 0

    def admit(self) -> None:
        """Every write may begin."""

    def committed(self, sequence: int, changes: bytes, objects: Sequence[str]) -> None:
        self.commits += 1

    def wait(self, sequence: int) -> None:
        pass


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@contextmanager
def one_who_writes(storage: Storage) -> Iterator[None]:
    """Have a writer be in the middle of its commit for the block."""
    with ThreadPoolExecutor(1) as pool, storage._catalog.writing():
        pool.submit(storage.kv.set, b"first", b"1")
        wait_until(lambda: storage._writer._turns._is_led)
        yield


def waiting(storage: Storage) -> int:
    return len(storage._writer._turns._waiting)


def test_writers_that_wait_share_one_transaction(storage: Storage) -> None:
    storage.ship_to(count := Count(), 0)
    with ThreadPoolExecutor(8) as pool:
        with one_who_writes(storage):
            futures = [pool.submit(storage.kv.set, b"%d" % number, LARGE + b"%d" % number) for number in range(8)]
            wait_until(lambda: waiting(storage) == 8)
        for future in futures:
            future.result()
    assert count.commits == 2
    assert [storage.kv.get(b"%d" % number) for number in range(8)] == [LARGE + b"%d" % number for number in range(8)]


def test_no_transaction_takes_more_than_so_many_writers(storage: Storage) -> None:
    storage.ship_to(count := Count(), 0)
    with ThreadPoolExecutor(BATCH_MAX + 6) as pool:
        with one_who_writes(storage):
            futures = [pool.submit(storage.kv.set, b"%d" % number, b"") for number in range(BATCH_MAX + 6)]
            wait_until(lambda: waiting(storage) == len(futures))
        for future in futures:
            future.result()
    assert count.commits == 3


def test_a_refused_group_leaves_the_others_it_is_committed_with_alone(storage: Storage, path: Path) -> None:
    def refuse() -> None:
        with storage.group() as group:
            storage.kv.set(b"refused", LARGE, group=group)
            storage.kv.set(b"1", b"refused", group=group)
            storage.kv.delete(b"missing", group=group)

    storage.ship_to(count := Count(), 0)
    with ThreadPoolExecutor(8) as pool:
        with one_who_writes(storage):
            before = pool.submit(storage.kv.set, b"1", b"before")
            wait_until(lambda: waiting(storage) == 1)
            refused = pool.submit(refuse)
            wait_until(lambda: waiting(storage) == 2)
            after = pool.submit(storage.kv.set, b"2", LARGE)
            wait_until(lambda: waiting(storage) == 3)
        with pytest.raises(KeyNotFoundError):
            refused.result()
        assert before.result() is after.result() is None
    assert count.commits == 2
    assert storage.kv.get(b"1") == b"before"
    assert storage.kv.get(b"2") == LARGE
    assert list(storage.kv.list()) == [b"1", b"2", b"first"]
    assert len(list((path / "objects").glob("*/*"))) == 1
    assert list((path / "tmp").iterdir()) == []


def test_where_all_are_refused_nothing_is_committed(storage: Storage) -> None:
    storage.ship_to(count := Count(), 0)
    with ThreadPoolExecutor(2) as pool:
        with one_who_writes(storage):
            futures = [pool.submit(storage.kv.delete, b"missing") for _ in range(2)]
            wait_until(lambda: waiting(storage) == 2)
        for future in futures:
            with pytest.raises(KeyNotFoundError):
                future.result()
    assert count.commits == 1


def test_whoever_waits_while_the_storage_is_closed_is_told(storage: Storage) -> None:
    with ThreadPoolExecutor(2) as pool:
        with one_who_writes(storage):
            futures = [pool.submit(storage.kv.set, b"k%d" % number, b"v") for number in range(2)]
            wait_until(lambda: waiting(storage) == 2)
            storage._catalog._closed = True
        for future in futures:
            with pytest.raises(StorageError, match="closed"):
                future.result()
        storage._catalog._closed = False
    storage.kv.set(b"k", b"v")
    assert list(storage.kv.list())[-1] == b"k"


@contextmanager
def interrupting(storage: Storage, *, when: Callable[[], bool], until: Callable[[], bool]) -> Iterator[None]:
    """Send SIGINT to the main thread `when` it is there, while the one writer is kept from going on `until` then."""
    is_held, ended = threading.Event(), threading.Event()

    def interrupt() -> None:
        with storage._catalog.writing():
            is_held.set()
            wait_until(when)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            wait_until(lambda: until() or ended.is_set())

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(interrupt)
        assert is_held.wait(60)
        try:
            yield
        finally:
            ended.set()
            future.result()


def test_ctrl_c_while_others_write_gives_the_write_up_and_says_so(storage: Storage, path: Path) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        interrupting(storage, when=lambda: waiting(storage) == 1, until=lambda: False),
    ):
        other = pool.submit(storage.kv.set, b"other", b"1")
        wait_until(lambda: storage._writer._turns._is_led)
        with pytest.raises(KeyboardInterrupt) as caught:
            storage.kv.set(b"k", LARGE)
    other.result()
    assert caught.value.__notes__ == ["Before it ended, key 'k' (100,000 bytes) was not stored."]
    assert list(storage.kv.list()) == [b"other"]
    assert list((path / "objects").glob("*/*")) == list((path / "tmp").iterdir()) == []
    storage.kv.set(b"k", b"again")


def test_ctrl_c_in_the_middle_of_a_commit_comes_behind_it_and_says_so(storage: Storage) -> None:
    turns = storage._writer._turns
    previous = signal.getsignal(signal.SIGINT)

    with (
        # The signal reaches the main thread before the lock that it waits for does.
        interrupting(storage, when=lambda: turns._is_led, until=lambda: True),
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        storage.kv.set(b"k", LARGE)
    assert caught.value.__notes__ == ["Before it ended, key 'k' (100,000 bytes) was stored."]
    assert storage.kv.get(b"k") == LARGE
    assert signal.getsignal(signal.SIGINT) is previous


def test_a_signal_whose_handler_does_not_raise_loses_no_write(storage: Storage) -> None:
    handled = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda number, frame: handled.set())
    try:
        with (
            ThreadPoolExecutor(1) as pool,
            interrupting(storage, when=lambda: waiting(storage) == 1, until=handled.is_set),
        ):
            other = pool.submit(storage.kv.set, b"other", b"1")
            wait_until(lambda: storage._writer._turns._is_led)
            storage.kv.set(b"k", LARGE)
        other.result()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert handled.is_set()
    assert storage.kv.get(b"k") == LARGE


@pytest.mark.parametrize("seed", range(4))
def test_what_many_threads_write_is_what_some_order_of_their_groups_gives(path: Path, seed: int) -> None:
    order: list[int] = []
    groups: dict[int, dict[bytes, bytes | None]] = {}
    refused: set[int] = set()

    def write(storage: Storage, thread: int) -> None:
        chance = random.Random(f"{seed} {thread}")
        for step in range(25):
            name = thread * 1000 + step
            changes: dict[bytes, bytes | None] = {}
            for _ in range(chance.randint(1, 3)):
                value = b"%d " % name * chance.choice([1, 100, 20_000])
                changes[b"%d" % chance.randrange(6)] = None if chance.random() < 0.2 else value
            is_hopeless = chance.random() < 0.2
            groups[name] = changes
            try:
                with storage.group() as group:
                    for key, content in changes.items():
                        if content is None:
                            storage.kv.delete(key, group=group)
                        else:
                            storage.kv.set(key, content, group=group)
                    if is_hopeless:
                        storage.kv.delete(b"missing", group=group)
                    group.then("the order", lambda connection, name=name: order.append(name))  # type: ignore[misc]
            except KeyNotFoundError:
                refused.add(name)
            else:
                assert not is_hopeless

    with Storage.open(path, grace_seconds=0) as storage, ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(write, storage, thread) for thread in range(6)]:
            future.result()
        # A group whose transaction was rolled back ran again, so that its last time is what counts.
        last = {name: place for place, name in enumerate(order)}
        model: dict[bytes, bytes] = {}
        for name in sorted(groups.keys() - refused, key=lambda name: last[name]):
            for key, content in groups[name].items():
                if content is None:
                    del model[key]
                else:
                    model[key] = content
        assert refused
        assert {key: storage.kv.get(key) for key in storage.kv.list()} == model
    stored = {each.name for each in (path / "objects").glob("*/*")}
    assert len(stored) == sum(len(content) > 65_536 for content in model.values())
    assert list((path / "tmp").iterdir()) == []

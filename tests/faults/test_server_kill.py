"""A server killed in mid-write loses nothing that it acknowledged, and what is visible is whole."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import MocError
from support import MocServer, start_server

KILLS = 50
LANES = 2  # storages at the same time, since a server that starts keeps one processor busy


def platform_of(server: MocServer) -> HttpPlatform:
    endpoint = server.endpoint
    return HttpPlatform(endpoint["url"], endpoint["token"], ca_file=endpoint["ca_file"])


def body(seed: int) -> bytes:
    """Make the bytes that belong to one number: small ones live in the catalog, large ones in object files."""
    return hashlib.sha256(b"%d" % seed).digest() * (1 + 4096 * (seed % 3))


class Writer(threading.Thread):
    """Writes one kind of thing until the server is gone, remembering what was acknowledged."""

    def __init__(self, write: Callable[[int], object], numbers: range) -> None:
        super().__init__()
        self.write, self.numbers = write, numbers
        self.acknowledged: list[int] = []
        self.first_done = threading.Event()

    def run(self) -> None:
        for number in self.numbers:
            try:
                self.write(number)
            except MocError:
                break
            self.acknowledged.append(number)
            self.first_done.set()
        self.first_done.set()


def start_writers(platform: HttpPlatform, numbers: range) -> dict[str, Writer]:
    """Write key-values, buffers and blobs at the same time."""
    writers = {
        "kv": Writer(lambda n: platform.kv.set(b"key-%d" % n, body(n)), numbers),
        "buffers": Writer(lambda n: platform.buffers.put(f"buffer-{n}", body(n)), numbers),
        "blobs": Writer(lambda n: platform.blobs.put(body(n)), numbers),
    }
    for writer in writers.values():
        writer.start()
    return writers


@pytest.mark.timeout(600)
def test_fifty_killed_servers_lose_nothing_acknowledged(tmp_path: Path):
    with ThreadPoolExecutor(LANES) as lanes:
        done = [lanes.submit(kill_again_and_again, tmp_path / f"storage{lane}", lane) for lane in range(LANES)]
    for each in done:
        each.result()


def kill_again_and_again(storage: Path, seed: int) -> None:
    """Kill the servers of one storage, one after the other, and look for what they acknowledged."""
    chance = random.Random(seed)
    kept: dict[str, set[int]] = {"kv": set(), "buffers": set(), "blobs": set()}
    for kill in range(KILLS // LANES):
        server = start_server(storage)
        platform = platform_of(server)
        # A few of all earlier rounds are read back now, everything at the end.
        for number in chance.sample(sorted(kept["kv"]), min(5, len(kept["kv"]))):
            assert platform.kv.get(b"key-%d" % number) == body(number)
        writers = start_writers(platform, range(kill * 10_000, (kill + 1) * 10_000))
        for writer in writers.values():
            writer.first_done.wait()
        threading.Event().wait(chance.uniform(0, 0.08))  # the moment of death is what varies, not something awaited
        server.kill()
        for kind, writer in writers.items():
            writer.join()
            assert writer.acknowledged, f"round {kill} wrote no {kind}: the test would prove nothing"
            kept[kind].update(writer.acknowledged)
        platform.close()
    check_that_all_is_there(storage, kept)


def check_that_all_is_there(storage: Path, kept: dict[str, set[int]]) -> None:
    """Start a last server and read all that was acknowledged, and all that is visible besides."""
    server = start_server(storage)
    platform = platform_of(server)
    try:
        for number in kept["kv"]:
            assert platform.kv.get(b"key-%d" % number) == body(number)
        for number in kept["blobs"]:
            assert platform.blobs.read(hashlib.sha256(body(number)).hexdigest()) == body(number)
        for record in platform.buffers.list():
            number = int(record.name.partition("-")[2])
            assert platform.buffers.read(record.name) == body(number), f"{record.name} is visible but not whole"
        assert {f"buffer-{number}" for number in kept["buffers"]} <= {each.name for each in platform.buffers.list()}
        assert not list((storage / "tmp").iterdir()), "leftovers of writes that were cut off"
    finally:
        platform.close()
        server.kill()

"""The primary is killed under load and its disk is gone: the standby takes over, with all that was acknowledged.

The primary is this file run as a program. It writes by several threads, synchronously replicated, and says what was
acknowledged.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from moc_server_ext.storage import Storage
from moc_server_ext.storage.replication.service import Replication

KILLS = int(os.environ.get("MOC_STANDBY_KILLS", "3"))
WRITERS = 4
SIZES = (10, 3_000, 80_000)


def content_of(number: int) -> bytes:
    """Give the bytes that belong to a number."""
    return hashlib.sha256(b"%d" % number).digest() * (SIZES[number % 3] // 32 + 1)


@pytest.mark.timeout(600)
def test_a_standby_takes_over_from_a_primary_whose_disk_is_gone_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    chance = random.Random()
    for turn in range(KILLS):
        take_over(tmp_path / str(turn), chance)


def take_over(path: Path, chance: random.Random) -> None:
    path.mkdir()
    primary, target = path / "primary", str(path / "target")
    child = subprocess.Popen(
        [sys.executable, __file__, str(primary), target], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"open\n", child.stderr.read()
        with Storage.open(path / "standby") as storage:
            standby = Replication(storage, follow=target)
            try:
                lines = [child.stdout.readline() for _ in range(chance.randrange(5, 60))]
                time.sleep(chance.uniform(0, 0.1))
                child.kill()
                lines += child.stdout.read().splitlines(keepends=True)
                assert child.wait() == -9, child.stderr.read()
                shutil.rmtree(primary)
                standby.promote()
                storage.kv.set(b"after", b"1")
                for line in lines:
                    if line.endswith(b"\n"):
                        number = int(line)
                        key = b"%d" % number
                        found = storage.buffers.read(f"b/{number}") if number % 2 else storage.kv.get(key)
                        assert found == content_of(number), number
                for key in storage.zarr.list_prefix():
                    assert storage.zarr.read(key) is not None
            finally:
                standby.close()


def main(path: str, target: str) -> None:
    storage = Storage.open(Path(path))
    Replication(storage, replicate_to=target, synchronous=True)
    os.write(1, b"open\n")

    def write(lane: int) -> None:
        for number in range(lane, 10**9, WRITERS):
            if number % 2:
                storage.buffers.put(f"b/{number}", content_of(number))
            else:
                storage.kv.set(b"%d" % number, content_of(number))
            os.write(1, b"%d\n" % number)

    lanes = [threading.Thread(target=write, args=(lane,)) for lane in range(WRITERS)]
    for each in lanes:
        each.start()
    for each in lanes:
        each.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

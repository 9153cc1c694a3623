"""A process that writes is killed at random moments: all that it acknowledged is there, and nothing is half there.

The writer is this file run as a program. What its n-th write does follows from n alone, so that after a kill the
storage must hold exactly what the acknowledged writes made, or that and the one write which was under way.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.testing.blobs import in_parts

# Which writes there are; how often they are killed, and at most how many seconds after the first of them.
KINDS = {"all": (range(7), 50, 0.08), "arrays": ((7, 8, 9), 12, 0.6)}
LANES = 2  # storages at the same time, since a writer that starts keeps one processor busy
ROWS, ROW = 4, 80_000
SIZES = (0, 10, 3_000, 65_536, 65_537, 200_000)


def array_content(number: int) -> bytes:
    """Give the bytes of the array that write `number` stores."""
    return hashlib.sha256(b"%d" % number).digest() * (ROWS * ROW // 32)


def content_of(number: int) -> bytes:
    """Give the bytes that write `number` stores: their size varies, and each depends on the number."""
    seed = hashlib.sha256(b"%d" % number).digest()
    return (seed * (SIZES[number % len(SIZES)] // len(seed) + 1))[: SIZES[number % len(SIZES)]]


@dataclass
class Model:
    """What the storage must hold."""

    kv: dict[bytes, bytes] = field(default_factory=dict)
    buffers: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    blobs: set[bytes] = field(default_factory=set)

    def copy(self) -> Model:
        return Model(dict(self.kv), dict(self.buffers), dict(self.names), set(self.blobs))

    def apply(self, number: int, kinds: str) -> None:
        content = content_of(number)
        match kind_of(number, kinds):
            case 0:
                self.kv[b"k%d" % (number % 5)] = content
            case 1:
                self.buffers[f"b/{number % 5}"] = content
            case 2:
                self.blobs.add(content)
            case 3:
                self.blobs.add(content)
                self.names[f"n{number % 3}"] = (content, number)
            case 4:
                self.kv[b"pair"] = content
                self.buffers["pair"] = content
                self.buffers["number"] = b"%d" % number
            case 5:
                for key in list(self.kv):
                    del self.kv[key]
                for name in list(self.buffers):
                    del self.buffers[name]
            case 6:
                self.buffers["same"] = content
            case 7:
                self.buffers["array"] = array_content(number)
            case 8:
                self.buffers["array"] += bytes(ROW)
            case 9:
                self.buffers["gridded"] = array_content(number)


def kind_of(number: int, kinds: str) -> int:
    numbers = KINDS[kinds][0]
    return numbers[number % len(numbers)]


def write(storage: Storage, number: int, kinds: str) -> None:
    """Do to the storage what :meth:`Model.apply` does to the model."""
    content = content_of(number)
    match kind_of(number, kinds):
        case 0:
            storage.kv.set(b"k%d" % (number % 5), content)
        case 1:
            storage.buffers.put(f"b/{number % 5}", content)
        case 2:
            storage.blobs.put(in_parts(content))
        case 3:
            storage.names.register(f"n{number % 3}", content, "application/wasm", {"number": number})
        case 4:
            with storage.group() as group:
                storage.kv.set(b"pair", content, group=group)
                storage.buffers.put("pair", content, group=group)
                storage.buffers.put("number", b"%d" % number, group=group)
        case 5:
            with storage.group() as group:
                for key in storage.kv.list():
                    storage.kv.delete(key, group=group)
                for record in storage.buffers.list():
                    storage.buffers.delete(record.name, group=group)
        case 6:
            storage.buffers.put("same", in_parts(content))
        case 7:
            write_by_threads(storage, number)
        case 8:
            storage.buffers.append("array", bytes(ROW), parse_array("uint8", [1, ROW]))
        case 9:
            array = parse_array("uint8", [ROWS, ROW], [3, ROW // 2 + 1])
            storage.buffers.put("gridded", array_content(number), array=array)


def write_by_threads(storage: Storage, number: int) -> None:
    content = array_content(number)
    with storage.buffers.write_array("array", parse_array("uint8", [ROWS, ROW], [1, ROW])) as writer:
        with ThreadPoolExecutor(3) as pool:
            rows = [content[at : at + ROW] for at in range(0, len(content), ROW)]
            list(pool.map(writer.write_chunk, [(row, 0) for row in range(ROWS)], rows))
        writer.commit()


def found(storage: Storage) -> Model:
    """Read everything that is visible, each thing whole (which checks it)."""
    for key in storage.zarr.list_prefix():
        assert storage.zarr.read(key) is not None
    return Model(
        kv={key: storage.kv.get(key) for key in storage.kv.list()},
        buffers={record.name: storage.buffers.read(record.name) for record in storage.buffers.list()},
        names={
            record.name: (storage.blobs.read(record.blob_id), record.attributes["number"])
            for record in storage.names.list()
        },
        blobs={
            storage.blobs.read(name) for name in storage.zarr.list_dir("blobs/") if name != "zarr.json"
        },
    )  # fmt: skip


@pytest.mark.parametrize("kinds", KINDS)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there_after_many_kills(tmp_path: Path, kinds: str) -> None:
    kills = KINDS[kinds][1]
    with ThreadPoolExecutor(LANES) as lanes:
        paths = [tmp_path / f"storage{lane}" for lane in range(LANES)]
        writing_rounds = sum(lanes.map(kill_again_and_again, paths, [kinds] * LANES))
    assert writing_rounds > kills // 2


def kill_again_and_again(path: Path, kinds: str) -> int:
    """Kill the writers of one storage, one after the other, look at it each time, and count those that wrote."""
    _, kills, seconds = KINDS[kinds]
    chance = random.Random()
    model, next_number, writing_rounds = Model(), 0, 0
    for _ in range(kills // LANES):
        child = subprocess.Popen(
            [sys.executable, __file__, str(path), str(next_number), kinds],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == b"open\n", child.stderr.read()
            # By writes and by time: on a busy machine a writer may not come to its first one for long.
            lines = [child.stdout.readline() for _ in range(chance.randrange(8))]
            try:
                child.wait(timeout=chance.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                child.kill()
            lines += child.stdout.read().splitlines(keepends=True)
            acknowledged = [int(line) for line in lines if line.endswith(b"\n")]
            assert child.wait() == -9, child.stderr.read()
        for number in acknowledged:
            assert number == next_number
            model.apply(number, kinds)
            next_number += 1
        writing_rounds += bool(acknowledged)
        with Storage.open(path, grace_seconds=0) as storage:
            state = found(storage)
            if state != model:
                model.apply(next_number, kinds)
                next_number += 1
            assert state == model, f"after write {next_number - 1}"
            assert list((path / "tmp").iterdir()) == []
            objects = {each.name for each in (path / "objects").glob("*/*")}
            large = sum((storage.zarr.size(key) or 0) > 65_536 for key in storage.zarr.list_prefix())
            assert len(objects) == large, "files that nothing refers to are swept or collected"
    return writing_rounds


def main(path: str, first: str, kinds: str) -> None:
    if kinds == "arrays":
        import numpy  # noqa: F401 - takes longer than the writes
    storage = Storage.open(Path(path))
    os.write(1, b"open\n")
    for number in itertools.count(int(first)):
        write(storage, number, kinds)
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(*sys.argv[1:])

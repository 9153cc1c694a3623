"""What is compressed on request: as any Zarr tool sees it, and as it is found damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import zarr

from moc_server_ext.client import Client
from moc_server_ext.errors import CorruptStorageError, InvalidInputError
from moc_server_ext.storage import Storage

# Compresses to about a third, so that its chunks lie in files.
ELEMENTS = numpy.random.default_rng(7).integers(0, 40, (600, 700)).astype("int16")
BYTES = ELEMENTS.tobytes()


@pytest.fixture
def moc(tmp_path: Path) -> Iterator[Client]:
    with Client.open(tmp_path / "storage") as client:
        yield client


def chunk_files(path: Path) -> list[Path]:
    return sorted((path / "objects").glob("*/*"))


def test_slices_and_arrays_are_read_from_compressed_chunks(moc: Client) -> None:
    moc.buffers.put("cube", ELEMENTS, chunks=(200, 300), compression="zstd")
    handle = moc.buffers["cube"]
    assert handle.chunks == (200, 300)
    assert numpy.array_equal(handle.to_numpy(), ELEMENTS)
    assert numpy.array_equal(handle[190:410:3, -5::-2], ELEMENTS[190:410:3, -5::-2])
    assert handle[3, 4] == ELEMENTS[3, 4]
    assert all(numpy.array_equal(block, ELEMENTS[where]) for where, block in handle.blocks())
    moc.buffers.put("bytes", BYTES, compression="zstd")
    assert moc.buffers["bytes"][1000:2000] == BYTES[1000:2000]
    assert moc.buffers["bytes"][7] == BYTES[7]
    assert moc.buffers["bytes"].to_numpy().tobytes() == BYTES


def test_any_zarr_tool_reads_what_was_exported(storage: Storage, tmp_path: Path) -> None:
    from moc_server_ext.arrays.elements import describe

    storage.buffers.put("cube", BYTES, array=describe(ELEMENTS, chunks=(200, 300)), compression="zstd")
    storage.buffers.put("bytes", BYTES, compression="zstd")
    storage.export_zarr(tmp_path / "out")
    opened = zarr.open_group(tmp_path / "out", mode="r")
    assert numpy.array_equal(opened["buffers/cube"][:], ELEMENTS)
    assert opened["buffers/bytes"][:].tobytes() == BYTES
    document = json.loads((tmp_path / "out" / "buffers" / "cube" / "zarr.json").read_bytes())
    assert document["codecs"] == [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 3, "checksum": True}},
    ]


def test_what_is_compressed_takes_less_room(storage: Storage, path: Path) -> None:
    storage.buffers.put("x", BYTES, compression="zstd")
    assert 0 < sum(file.stat().st_size for file in chunk_files(path)) < 0.6 * len(BYTES)


@pytest.mark.parametrize("position", [0, 20_000, -1])
@pytest.mark.parametrize(
    "read", [lambda handle: handle.read(), lambda handle: handle[5:9], lambda handle: handle.to_numpy()]
)
@pytest.mark.parametrize("value", [BYTES, ELEMENTS])
def test_a_flipped_bit_in_a_compressed_chunk_is_an_error_also_for_a_part_of_it(
    moc: Client, tmp_path: Path, position: int, read: Callable[[object], object], value: object
) -> None:
    moc.buffers.put("x", value, compression="zstd")
    (file,) = chunk_files(tmp_path / "storage")
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptStorageError, match=r"'x'|buffers/x"):
        read(moc.buffers["x"])


@pytest.mark.parametrize("value", [BYTES, ELEMENTS])
def test_a_missing_chunk_is_an_error_and_never_zeros(moc: Client, tmp_path: Path, value: object) -> None:
    moc.buffers.put("x", value, compression="zstd")
    (file,) = chunk_files(tmp_path / "storage")
    os.unlink(file)
    for read in (lambda handle: handle.read(), lambda handle: handle[5:9], lambda handle: handle.to_numpy()):
        with pytest.raises(CorruptStorageError):
            read(moc.buffers["x"])


def test_what_is_of_zarr_is_not_compressed_again(moc: Client) -> None:
    group = zarr.group(zarr.storage.MemoryStore())
    with pytest.raises(InvalidInputError, match="compression"):
        moc.buffers.put("x", group, compression="zstd")
    assert moc.buffers.list() == []


def test_a_copy_of_a_compressed_buffer_is_one_too(storage: Storage, path: Path) -> None:
    storage.buffers.put("x", BYTES, compression="zstd")
    before = chunk_files(path)
    storage.buffers.copy("x", "y")
    storage.buffers.rename("x", "z")
    assert chunk_files(path) == before
    assert storage.buffers.read("y") == storage.buffers.read("z") == BYTES

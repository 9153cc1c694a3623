"""Files between a client and a server of the same machine: only those that are meant, and nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import google_crc32c
import numpy
import pytest

from moc_server_ext.client.local_files import ChunkFiles, SharedDirectory, StagingError, VanishedError
from moc_server_ext.errors import CorruptStorageError, InvalidInputError, StorageFullError
from moc_server_ext.model import parse_array

SPEC = parse_array("uint8", (5, 1 << 19), (2, 1 << 19))
CONTENT = numpy.arange(5 << 19, dtype="uint32").astype("uint8").tobytes()


@pytest.fixture
def shared(tmp_path: Path) -> SharedDirectory:
    (tmp_path / "FORMAT.json").write_text(json.dumps({"format": 1, "instance_id": "me"}))
    (tmp_path / "staging").mkdir()
    found = SharedDirectory.find({"instance_id": "me", "storage": {"path": str(tmp_path)}})
    assert found is not None
    return found


def left(shared):
    return list((shared.path / "staging").iterdir())


@pytest.mark.parametrize("part", [1 << 17, 3 << 18, 1 << 30])
def test_an_array_is_cut_into_files_of_whole_chunks(shared, part):
    parts = [CONTENT[begin : begin + part] for begin in range(0, len(CONTENT), part)]
    with shared.stage(parts, SPEC) as staged:
        found = {key: (shared.path / "staging" / name).read_bytes() for key, name in staged.files.items()}
        assert [os.stat(each).st_mode & 0o777 for each in left(shared)] == [0o600] * 3
        chunk = 1 << 20
        assert found == {
            "c/0/0": CONTENT[:chunk],
            "c/1/0": CONTENT[chunk : 2 * chunk],
            "c/2/0": CONTENT[2 * chunk :] + bytes(1 << 19),
        }
    assert left(shared) == []


@pytest.mark.parametrize("parts", [[], [CONTENT[:-1]], [CONTENT, b"1"], [CONTENT, b"", b"1"]])
def test_more_or_fewer_bytes_are_refused_and_nothing_is_left(shared, parts):
    with pytest.raises(InvalidInputError):
        shared.stage(parts, SPEC)
    assert left(shared) == []


def test_what_the_parts_raise_goes_on_and_nothing_is_left(shared):
    def failing():
        yield CONTENT[: 3 << 19]
        raise KeyError("mine")

    with pytest.raises(KeyError):
        shared.stage(failing(), SPEC)
    assert left(shared) == []


def test_a_full_disk_is_told_and_nothing_is_left(small_disk):
    (small_disk / "staging").mkdir()
    spec = parse_array("uint8", (8, 1 << 20), (1, 1 << 20))
    shared = SharedDirectory(small_disk)
    with pytest.raises(StorageFullError):
        shared.stage([bytes(8 << 20)], spec)
    assert left(shared) == []


@pytest.mark.parametrize("chunks", [(1, 1 << 10), (2, 1 << 18)])
def test_small_chunks_and_other_grids_are_sent(shared, chunks):
    with pytest.raises(StagingError):
        shared.stage([CONTENT], parse_array("uint8", (5, 1 << 19), chunks))


def test_without_the_directory_it_is_sent(tmp_path):
    with pytest.raises(StagingError):
        SharedDirectory(tmp_path).stage([CONTENT], SPEC)


@pytest.mark.parametrize("content", [None, "", "{}", '{"format": 1, "instance_id": "other"}', '{"format": 99}', "\xff"])
def test_a_directory_that_is_not_the_servers_is_not_used(tmp_path, content):
    if content is not None:
        (tmp_path / "FORMAT.json").write_text(content)
    assert SharedDirectory.find({"instance_id": "me", "storage": {"path": str(tmp_path)}}) is None


class Others:
    def read(self, chunk_key, start, stop):
        return b"other"[start:stop]

    def read_whole(self, chunk_key):
        return b"other"


@pytest.fixture
def chunks(shared):
    def told(**facts):
        path = shared.path / "objects" / "ab" / ("ab" * 16)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        file = {"file": f"objects/ab/{'ab' * 16}", "size": 10, "crc32c": google_crc32c.value(b"0123456789"), **facts}
        return ChunkFiles(shared, {"c/0": file}, Others(), "buffer 'x'")

    return told


def test_chunks_are_read_from_files_or_by_asking(chunks):
    source = chunks()
    assert (source.read("c/0", 2, 5), source.read_whole("c/0")) == (b"234", b"0123456789")
    assert (source.read("c/1", 2, 5), source.read_whole("c/1")) == (b"her", b"other")


@pytest.mark.parametrize("facts", [{"size": 11}, {"size": 9}, {"crc32c": 1}])
def test_a_file_that_is_not_what_was_stored_is_damage(chunks, facts):
    with pytest.raises(CorruptStorageError, match=r"'x'.*c/0"):
        chunks(**facts).read_whole("c/0")


@pytest.mark.parametrize("file", ["/etc/passwd", "objects/../FORMAT.json", "token", "objects/ab/../../token", "", None])
def test_no_other_file_is_ever_read(chunks, file):
    with pytest.raises(CorruptStorageError, match="no file of a chunk"):
        chunks(file=file).read("c/0", 0, 1)


def test_a_link_is_not_followed_and_a_file_that_is_gone_has_vanished(chunks, shared):
    source = chunks()
    path = shared.path / "objects" / "ab" / ("ab" * 16)
    path.unlink()
    with pytest.raises(VanishedError):
        source.read_whole("c/0")
    path.symlink_to(shared.path / "FORMAT.json")
    with pytest.raises(OSError, match="symbolic links"):
        source.read_whole("c/0")

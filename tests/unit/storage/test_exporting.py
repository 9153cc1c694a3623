from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from moc_server_ext.errors import ConflictError, CorruptStorageError, InvalidInputError
from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.storage.exporting import export_hierarchy
from moc_server_ext.testing.blobs import patterned

ARRAY = parse_array("int32", [40, 5000], [10, 3000])
LONG = b"\xff" * 3000


@pytest.fixture
def filled(storage: Storage) -> Storage:
    storage.buffers.put("a/b", patterned(ARRAY.nbytes), array=ARRAY)
    storage.buffers.put("empty", b"")
    storage.buffers.put("large", patterned(9_000_000))
    storage.blobs.put(b"blob" * 50_000)
    storage.kv.set(b"k", b"value")
    storage.kv.set(LONG, b"long")
    return storage


class Plain:
    """A hierarchy that can do what the protocol says and nothing else, as a server's client; it may act between."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.reads = 0

    def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> Sequence[str]:
        return self.storage.zarr.list(prefix, limit=min(limit, 3), after=after)

    def size(self, key: str) -> int | None:
        return self.storage.zarr.size(key)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        self.reads += 1
        self.act(key)
        return self.storage.zarr.read(key, start, stop)

    def act(self, key: str) -> None:
        """Do what somebody else does meanwhile."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("plainly", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_an_export_is_opened_by_zarr_as_plain_files(
    filled: Storage, tmp_path: Path, plainly: bool, is_there: bool
) -> None:
    zarr = pytest.importorskip("zarr")
    target = tmp_path / "deep" / "export"
    if is_there:
        target.mkdir(parents=True)
    done: list[int] = []
    written = (
        export_hierarchy(Plain(filled), target, progress=done.append)
        if plainly
        else filled.export(target, progress=done.append)
    )
    files = [each for each in target.rglob("*") if each.is_file()]
    assert written == {"nodes": 6, "files": len(files), "bytes": sum(each.stat().st_size for each in files)}
    assert done == sorted(done)
    root = zarr.open_group(str(target), mode="r")
    assert root["buffers/a%2Fb"][...].tobytes() == patterned(ARRAY.nbytes)
    assert root["buffers/large"][...].tobytes() == patterned(9_000_000)
    assert root["kv/k"][...].tobytes() == b"value"
    (short,) = [short for short, whole in root.attrs["moc"]["long_names"].items() if whole == "kv/" + "%FF" * 3000]
    assert root[short][...].tobytes() == b"long"
    consolidated = json.loads((target / "buffers" / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert set(consolidated) == {"a%2Fb", "empty", "large"}
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def test_what_is_there_is_never_overwritten(filled: Storage, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(InvalidInputError):
            filled.export(tmp_path / name)
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["notes.txt"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("is_there", [False, True])
def test_an_export_that_fails_leaves_nothing(filled: Storage, tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "export"
    if is_there:
        target.mkdir()
    for file in (filled.path / "objects").glob("*/*"):
        os.truncate(file, 1000)
    with pytest.raises(CorruptStorageError):
        filled.export(target)
    assert target.exists() == is_there
    assert not is_there or list(target.iterdir()) == []


@pytest.mark.parametrize("change", ["replace", "delete", "grow"])
def test_a_buffer_that_is_changed_meanwhile_is_read_anew(filled: Storage, tmp_path: Path, change: str) -> None:
    class Changed(Plain):
        done = False

        def act(self, key: str) -> None:
            if key == "buffers/a%2Fb/c/2/0" and not self.done:
                self.done = True
                if change == "replace":
                    filled.buffers.put("a/b", bytes(ARRAY.nbytes), array=ARRAY)
                elif change == "delete":
                    filled.buffers.delete("a/b")
                else:
                    filled.buffers.append("a/b", bytes(20_000), parse_array("int32", [1, 5000]))

    target = tmp_path / "export"
    export_hierarchy(Changed(filled), target)
    chunk = target / "buffers" / "a%2Fb" / "c" / "0" / "0"
    if change == "delete":
        assert not (target / "buffers" / "a%2Fb").exists()
    else:
        assert (chunk.read_bytes() == bytes(120_000)) == (change == "replace")
        assert (target / "buffers" / "a%2Fb" / "c" / "4").exists() == (change == "grow")


def test_a_buffer_that_is_changed_all_the_time_is_an_error(filled: Storage, tmp_path: Path) -> None:
    class Changed(Plain):
        def act(self, key: str) -> None:
            if key == "buffers/a%2Fb/c/2/0":
                filled.buffers.put("a/b", bytes(ARRAY.nbytes), array=ARRAY)

    with pytest.raises(ConflictError, match="a%2Fb"):
        export_hierarchy(Changed(filled), tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("key", ["../outside", "buffers/../../outside", "/outside", "buffers//x", "buffers/\0"])
def test_no_key_of_a_hostile_server_leads_out_of_the_directory(tmp_path: Path, key: str) -> None:
    class Hostile:
        def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> Sequence[str]:
            return [] if after is not None else [key]

        def size(self, key: str) -> int | None:
            return 1

        def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
            return b"1"

    with pytest.raises(InvalidInputError, match="file's name"):
        export_hierarchy(Hostile(), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []

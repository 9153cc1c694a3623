"""A storage of each format that there ever was is opened by this moc, with all that it holds."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from moc_server_ext.storage import Storage
from moc_server_ext.storage.ownership import FORMAT

EXAMPLES = Path(__file__).parents[2] / "storage_formats"


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_a_storage_of_each_format_is_opened_with_all_that_it_holds(tmp_path: Path, number: int) -> None:
    path = tmp_path / "storage"
    with tarfile.open(EXAMPLES / f"format-{number}.tar.xz") as example:
        example.extractall(path, filter="data")
    assert json.loads((path / "FORMAT.json").read_text())["format"] == number
    for _ in range(2):
        with Storage.open(path) as storage:
            assert json.loads((path / "FORMAT.json").read_text())["format"] == FORMAT
            assert [record.name for record in storage.names.list()] == ["add"]
            assert storage.blobs.read(storage.names.list()[0].blob_id).startswith(b"\0asm")
            assert storage.buffers.read("small") == b"small"
            assert storage.buffers.read("large/one") == b"0123456789" * 10_000
            assert storage.buffers.read("array") == np.arange(30_000, dtype="<i4").tobytes()
            assert storage.kv.get(b"\x00\xff/binary") == bytes(range(256))
            assert storage.kv.get(b"large") == b"v" * 100_000
            assert storage.kv.list() == [b"\x00\xff/binary", b"key", b"large"]

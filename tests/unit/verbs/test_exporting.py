from __future__ import annotations

import pytest

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.storage import Storage


def test_export_zarr_writes_what_the_platform_has_and_says_how_much(moc, platform, tmp_path):
    with Storage.open(tmp_path / "storage") as storage:
        storage.buffers.put("a/b", b"12345")
        storage.kv.set(b"k", b"v")
        platform.zarr = storage.zarr
        outcome = moc("export-zarr", str(tmp_path / "export"))
        assert outcome.to_text().startswith("exported 2 blobs, buffers and keys into ")
        assert outcome.to_json()["nodes"] == 2
        assert (tmp_path / "export" / "buffers" / "a%2Fb" / "c" / "0").read_bytes() == b"12345"
        with pytest.raises(InvalidInputError, match="new or an empty directory"):
            moc("export-zarr", str(tmp_path / "export"))

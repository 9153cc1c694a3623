from __future__ import annotations

from moc_server_ext.storage import Storage

LARGE = bytes(range(256)) * 400


def test_fsck_says_what_is_damaged_and_what_to_do_and_exits_with_1(moc, platform, tmp_path):
    with Storage.open(tmp_path / "storage") as storage:
        platform.fsck = storage.fsck
        storage.buffers.put("topics", LARGE)
        outcome = moc("fsck")
        assert outcome.exit_code == 0
        assert outcome.to_text().endswith("everything is as it was stored")
        (file,) = (tmp_path / "storage" / "objects").glob("*/*")
        file.write_bytes(LARGE[::-1])
        outcome = moc("fsck")
        assert outcome.exit_code == 1
        assert "buffer 'topics': its file" in outcome.to_text()
        assert "moc fsck --remove-damaged" in outcome.to_text()
        assert outcome.to_json()["findings"][0]["kind"] == "object_changed"
        assert moc("fsck", "--quick").exit_code == 0
        assert moc("fsck", "--remove-damaged").to_text().endswith("what was found is repaired")
        assert moc("fsck").exit_code == 0

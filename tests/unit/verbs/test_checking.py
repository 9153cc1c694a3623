from __future__ import annotations

import re

import pytest

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


@pytest.mark.parametrize(
    ("growth", "shown"),
    [
        ({"bytes_per_day": None, "since": None, "days_left": None}, "bytes per day: +-"),
        ({"bytes_per_day": 3 << 20, "since": 0.0, "days_left": 12.5}, r"storage growth: +3.* MiB a day"),
        ({"bytes_per_day": -2048, "since": 0.0, "days_left": None}, r"since: +1970-01-01 00:00:00 UTC"),
    ],
)
def test_status_tells_growth_in_words(moc, platform, monkeypatch, growth, shown):
    monkeypatch.setattr(platform, "status", lambda: {"storage": {"read_only": "", "growth": growth}}, raising=False)
    assert re.search(shown, moc("status").to_text())


def test_doctor_takes_a_storage_that_is_only_read_for_a_fault(moc, platform, monkeypatch):
    facts = {"storage": {"path": "/s", "format": 2, "read_only": "1 object file is missing"}}
    monkeypatch.setattr(platform, "status", lambda: facts, raising=False)
    outcome = moc("doctor")
    assert outcome.exit_code == 1
    assert "only read: 1 object file is missing" in outcome.to_text()

"""The storage's nouns run the suites that every implementation of their protocols runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.abc import Blobs, Buffers, KeyValues
from moc_server_ext.storage import Storage
from moc_server_ext.testing.blobs import BlobsContract
from moc_server_ext.testing.buffers import BuffersContract
from moc_server_ext.testing.keyvalues import KeyValuesContract
from moc_server_ext.testing.logs import LogsContract


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "storage") as storage:
        yield storage


class TestStoredBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, storage: Storage) -> Blobs:
        return storage.blobs


class TestStoredBuffers(BuffersContract):
    @pytest.fixture
    def buffers(self, storage: Storage) -> Buffers:
        return storage.buffers


class TestStoredLogs(LogsContract):
    @pytest.fixture
    def buffers(self, storage: Storage) -> Buffers:
        return storage.buffers


class TestStoredKeyValues(KeyValuesContract):
    @pytest.fixture
    def kv(self, storage: Storage) -> KeyValues:
        return storage.kv

"""What the client offers over HTTP runs the suites that the storage itself runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from moc_server_ext.abc import Blobs, Buffers, KeyValues
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.testing.blobs import BlobsContract
from moc_server_ext.testing.buffers import BuffersContract
from moc_server_ext.testing.keyvalues import KeyValuesContract
from moc_server_ext.testing.logs import LogsContract


@pytest.fixture
def gateway(served: Callable[..., Any]) -> Iterator[Any]:
    with served(waiting=32, max_body_bytes=256 << 20) as running:
        yield running


class TestHttpBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, client: HttpPlatform) -> Blobs:
        return client.blobs


class TestHttpBuffers(BuffersContract):
    @pytest.fixture
    def buffers(self, client: HttpPlatform) -> Buffers:
        return client.buffers


class TestHttpLogs(LogsContract):
    @pytest.fixture
    def buffers(self, client: HttpPlatform) -> Buffers:
        return client.buffers


class TestHttpKeyValues(KeyValuesContract):
    @pytest.fixture
    def kv(self, client: HttpPlatform) -> KeyValues:
        return client.kv

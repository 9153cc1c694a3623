"""A platform in this process for widgets to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moc_server_ext.client import connect
from moc_server_ext.client.client import Client


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give an embedded platform that the tests of a module share."""
    with connect(storage=tmp_path_factory.mktemp("widgets") / "storage") as client:
        yield client

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.storage import Storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the storage of the test lies."""
    return tmp_path / "storage"


@pytest.fixture
def storage(path: Path) -> Iterator[Storage]:
    with Storage.open(path) as storage:
        yield storage

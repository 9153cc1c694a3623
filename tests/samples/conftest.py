"""The samples as the manifest lists them, and a storage with all of them registered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import Declaration

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def samples_directory() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    return json.loads((SAMPLES / "manifest.json").read_text())


@pytest.fixture(scope="session")
def cluster(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("samples")
    with Cluster.open(directory / "storage", cache_directory=directory / "cache") as cluster:
        for sample in manifest["samples"]:
            declaration = Declaration.from_json(sample["declaration"])
            cluster.functions.put(sample["name"], (SAMPLES / sample["wasm"]).read_bytes(), declaration)
        yield cluster

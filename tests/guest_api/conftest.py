"""A cluster, and guests that are registered in it and called at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core_guests import Program
from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest, CallResult, Declaration, Mode, parse_grants

Play = Callable[..., CallResult]


@pytest.fixture(scope="package")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("guest-api")
    with Cluster.open(root / "storage", cache_directory=root / "modules") as cluster:
        yield cluster


@pytest.fixture(params=["core", "my-own-cluster"])
def program(request: pytest.FixtureRequest) -> Program:
    """Give a program that imports the guest API under each of its names."""
    return Program(request.param)


@pytest.fixture
def play(moc: Cluster) -> Play:
    """Register a module as ``guest``, with what it is granted, and call it."""

    def play(
        content: bytes, *, grants: tuple[str, ...] = (), input: bytes = b"", entry: str = "run", **declared: Any
    ) -> CallResult:
        moc.functions.put("guest", content, Declaration(grants=parse_grants(grants), **declared))
        return moc.call_sync(CallRequest("guest", mode=Mode.DIRECT, entry=entry, input=input))

    return play

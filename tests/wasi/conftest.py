"""The programs, compiled once, and the places where they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE
from moc_server_ext.engines.wasm.engine import WasmEngine
from wasi_places import NativePlace, OurPlace, Place, compile_program

Compiled = Callable[..., bytes]


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    """Give a program by its name and the flags that it is compiled with."""
    return cache(compile_program)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    engine = WasmEngine([PREVIEW1, UNSTABLE], cache_directory=tmp_path_factory.mktemp("modules"))
    with NativePlace(tmp_path_factory.mktemp("native")) as native:
        yield {
            "private": OurPlace(engine),
            "host": OurPlace(engine, tmp_path_factory.mktemp("host")),
            "native": native,
        }
    engine.close()

"""Modules that were built against the first my-own-cluster run unchanged, under both names of the guest API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.compilers.c import CCompiler
from moc_server_ext.model import CallRequest, Declaration, Mode, parse_grants
from web import answer

pytestmark = pytest.mark.timeout(400)  # the first one builds the C library

PROGRAMS = Path(__file__).parent / "programs"
SAMPLES = Path(__file__).parents[2] / "samples"
GRANTS = ("kv:/year/", "register:made-*", "register", "blob", "status", "export", "call:uppercase")


@pytest.fixture(scope="module")
def compiled() -> Callable[..., bytes]:
    compiler = CCompiler()

    def compiled(name: str, *flags: str) -> bytes:
        source = (PROGRAMS / name).read_text()
        return compiler.compile(
            source, filename=name, flags=["-ffreestanding", "-Wno-strict-prototypes", *flags]
        ).content

    return compiled


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as cluster:
        cluster.functions.put("uppercase", (SAMPLES / "c" / "uppercase" / "uppercase.wasm").read_bytes())
        yield cluster


@pytest.mark.parametrize("module", ["core", "my-own-cluster"])
def test_a_module_of_2020_finds_every_function_as_it_was(compiled, fresh, module):
    content = compiled("of_2020.c", f'-DMODULE="{module}"')
    fresh.functions.put("old", content, Declaration(grants=parse_grants(GRANTS)))
    result = fresh.call_sync(CallRequest("old", entry="everything", input=b"input"))
    assert (result.result, result.output) == (0, b"output")
    assert result.stderr == b"test\nhello from 2020\n"
    assert fresh.functions.get("made-in-2020").blob_id == hashlib.sha256(b"\0asm\1\0\0\0").hexdigest()
    assert fresh.kv.get(b"/year/2020") == b"a value"


@pytest.mark.parametrize("module", ["core", "my-own-cluster"])
def test_a_module_of_2020_fetches_a_url(compiled, fresh, web, module):
    web.answers["/"] = answer(b"an answer")
    content = compiled("of_2020.c", f'-DMODULE="{module}"')
    fresh.functions.put("old", content, Declaration(grants=parse_grants((), (web.host,))))
    result = fresh.call_sync(CallRequest("old", entry="fetch", input=web.url().encode()))
    assert (result.result, result.output) == (9, b"an answer")


def test_a_module_of_early_2020_starts_with_numbers_and_finds_the_early_names(compiled, fresh):
    fresh.functions.put("oldest", compiled("of_early_2020.c"))
    result = fresh.call_sync(CallRequest("oldest", mode=Mode.DIRECT, entry="_start", arguments=("5", "3")))
    assert (result.result, result.stderr) == (702, b"test\n")

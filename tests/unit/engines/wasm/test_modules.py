"""Modules on their way in: readable refusals, the caches, compiling in a child process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
import wasmtime

from moc_server_ext.engines.wasm import capi, compilation, machine
from moc_server_ext.engines.wasm.compilation import Compiler
from moc_server_ext.engines.wasm.disk_cache import Artifact, DiskCache
from moc_server_ext.engines.wasm.machine import Machine
from moc_server_ext.engines.wasm.profiles import ProfileName, make_engine
from moc_server_ext.errors import InvalidInputError, InvalidModuleError, MissingImportError
from moc_server_ext.model import Signature

GOOD = bytes(
    wasmtime.wat2wasm('(module (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 7)))')
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<html><body>", r"begins with b'<html><b', and a module begins with b'\\x00asm'"),
        (b'(module (func (export "f")))', "moc compile"),
        (b"\x7fELF\x02\x01\x01", "native program"),
        (b"\0asm\1", "truncated at byte 5, within its header"),
        (b"\0asm\x0d\0\1\0", "a component"),
        (b"\0asm\2\0\0\0", "version 02 00 00 00"),
        (GOOD[:-3], rf"truncated at byte {len(GOOD) - 3}: section \d+ at byte \d+ has .* 3 are missing"),
        (GOOD[:8] + b"\1\xff\xff\xff\xff\xff\1", "the number at byte 9 is too long"),
        (GOOD[:8] + b"\1\xff", "within the size of a section"),
        (GOOD.replace(b"\x41\x07", b"\x43\x07"), "offset"),
    ],
)
def test_what_is_no_module_is_refused_with_what_it_is(bench, content, message):
    with pytest.raises(InvalidModuleError, match=message):
        bench.engine.inspect("upload", content)


def test_a_shared_memory_is_refused(bench):
    content = bytes(wasmtime.wat2wasm("(module (memory 1 2 shared))"))
    with pytest.raises(InvalidModuleError, match="shared"):
        bench.engine.inspect("upload", content)


def test_inspect_tells_imports_and_exports_and_never_runs_the_module(bench):
    content = bytes(
        wasmtime.wat2wasm("""(module (import "host" "add" (func (param i32 i32) (result i32)))
          (memory (export "memory") 1) (func $start (unreachable)) (start $start)
          (func (export "mix") (param i64 f32 f64 v128 externref) (result i32) (i32.const 0)))""")
    )
    found = bench.engine.inspect("upload", content)
    assert found.exports == {"mix": Signature(("i64", "f32", "f64", "v128", "ref"), ("i32",))}
    assert found.imports == (("host", "add", Signature(("i32", "i32"), ("i32",))),)
    assert found.exports_memory


@pytest.mark.parametrize("type_", ["exnref", "v128", "funcref", "externref", "(ref func)"])
def test_types_beyond_numbers_are_read_without_harm(bench, type_):
    """The library's own wrapper ends the process for some of them."""
    content = bytes(wasmtime.wat2wasm(f'(module (func (export "f") (param {type_})))'))
    assert len(bench.engine.inspect("upload", content).exports["f"].params) == 1


@pytest.mark.parametrize(
    ("wat", "message"),
    [
        (
            '(import "host" "adds" (func))',
            "module 'host' has no such function. Did you mean 'add' or 'wait_add'\\? Available: ",
        ),
        (
            '(import "host" "add" (func (param i64)))',
            r"which has the type \(i32, i32\) -> \(i32\), and not \(i64\) -> \(\)",
        ),
        ('(import "env" "memory" (memory 1))', "which is a memory, and guests can import functions only"),
        ('(import "env" "table" (table 1 funcref))', "which is a table"),
        ('(import "env" "tag" (tag))', "which is a tag"),
    ],
)
def test_a_missing_import_is_named_with_what_there_is(bench, wat, message):
    with pytest.raises(MissingImportError, match=message):
        bench.engine.inspect("resize", bytes(wasmtime.wat2wasm(f"(module {wat})")))


# -- caches -----------------------------------------------------------------------------------------------------------

ANSWER = '(module (func (export "run") (result i32) (i32.const 42)))'


def never() -> bytes:
    raise AssertionError("the module was loaded again")


def test_a_compiled_module_is_taken_from_the_disk_without_its_bytes(bench, make_bench):
    bench.run(ANSWER)
    other = make_bench()
    assert other.engine.run(other.context(other.invocation(ANSWER)), never).result == 42


@pytest.mark.parametrize("poison", [b"", b"\x7fELF native code of somebody else", None])
def test_a_damaged_file_in_the_cache_is_compiled_again(bench, make_bench, tmp_path, poison, caplog):
    bench.run(ANSWER)
    (file,) = (tmp_path / "cache").glob("*.cwasm")
    content = file.read_bytes()
    flipped = content[:500] + bytes([content[500] ^ 1]) + content[501:]
    file.write_bytes(flipped if poison is None else poison)
    assert make_bench().run(ANSWER).result == 42
    assert file.read_bytes() == content


def test_where_files_cannot_be_executed_a_compiled_module_is_copied(bench, make_bench, monkeypatch):
    bench.run(ANSWER)
    asked: list[bytes] = []

    def refuse(_engine: int, path: bytes, _module: int) -> int:
        asked.append(path)
        return capi.error_new(b"Operation not permitted")

    monkeypatch.setattr(capi, "module_deserialize_file", refuse)
    other = make_bench()
    assert other.engine.run(other.context(other.invocation(ANSWER)), never).result == 42
    assert len(asked) == 1


def test_what_is_made_ready_at_the_start_is_what_the_first_call_uses(bench, monkeypatch):
    made: list[str] = []

    def count(profile: ProfileName) -> tuple[wasmtime.Engine, int]:
        made.append(profile)
        return make_engine(profile)

    monkeypatch.setattr(machine, "make_engine", count)
    bench.engine.make_ready()
    assert made == ["pooled"]
    bench.engine.make_ready()
    assert bench.run(ANSWER).result == 42
    assert made.count("pooled") == 1


def test_a_module_goes_on_when_its_file_in_the_cache_is_gone(bench, make_bench, tmp_path):
    bench.run(ANSWER)
    other = make_bench()
    assert other.engine.run(other.context(other.invocation(ANSWER)), never).result == 42
    (file,) = (tmp_path / "cache").glob("*.cwasm")
    file.unlink()
    assert other.engine.run(other.context(other.invocation(ANSWER)), never).result == 42


def test_a_link_in_the_cache_is_not_followed(bench, make_bench, tmp_path):
    bench.run(ANSWER)
    (file,) = (tmp_path / "cache").glob("*.cwasm")
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    other = make_bench()
    with pytest.raises(AssertionError, match="loaded again"):
        other.engine.run(other.context(other.invocation(ANSWER)), never)


def test_the_cache_is_closed_to_others_and_refused_when_it_is_not(make_bench, tmp_path):
    make_bench()
    directory = tmp_path / "cache"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    os.chmod(directory, 0o770)
    with pytest.raises(InvalidInputError, match="chmod 700"):
        make_bench()


def test_the_cache_keeps_to_its_size_and_drops_what_was_not_used_for_longest(tmp_path):
    cache = DiskCache(tmp_path / "cache", max_bytes=2500)
    for number, name in enumerate("abc"):
        cache.put(name, Artifact(bytes(1000), 1, 0))
        for path in (tmp_path / "cache").glob(f"{name}-*"):
            os.utime(path, (number, number))
    kept = [path.name[0] for path in (tmp_path / "cache").iterdir()]
    assert sorted(kept) == ["b", "c"]


def test_a_cache_that_cannot_be_written_costs_only_the_next_compilation(
    bench, make_bench, tmp_path, monkeypatch, caplog
):
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert bench.run(ANSWER).result == 42
    assert list((tmp_path / "cache").iterdir()) == []
    assert "No space left" in caplog.text


def test_modules_of_another_configuration_are_compiled_again(bench, make_bench, tmp_path):
    """A file that fits its name but not this library is dropped, not loaded."""
    bench.run(ANSWER)
    (file,) = (tmp_path / "cache").glob("*.cwasm")
    blob_id = file.name.partition("-")[0]
    DiskCache(tmp_path / "cache").put(blob_id, Artifact(wasmtime.Module(wasmtime.Engine(), GOOD).serialize(), 0, 0))
    assert make_bench().run(ANSWER).result == 42


# -- the compiler -----------------------------------------------------------------------------------------------------


def large_module(body: str = "(i32.const 42)") -> bytes:
    filler = '(data (i32.const 0) "' + "x" * compilation.IN_PROCESS_BYTES + '")'
    return bytes(wasmtime.wat2wasm(f'(module (memory 2) {filler} (func (export "run") (result i32) {body}))'))


def must_not_compile_here() -> Machine:
    raise AssertionError("compiled in this process")


def test_a_large_module_is_compiled_in_a_child_process(bench):
    artifact = Compiler(must_not_compile_here).compile("large", large_module())
    assert artifact.memories == 1
    assert Machine("large", ()).load(artifact).exports[0].name == "run"


def test_the_compiling_process_loads_no_more_than_it_needs():
    code = (
        "import sys\n"
        "import moc_server_ext.engines.wasm.compile_child, moc_server_ext.engines.wasm.machine\n"
        "print(*[each for each in sys.modules if each.startswith('moc_server_ext.engines.wasi') or each == 'asyncio'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == []


def test_a_large_module_that_is_not_valid_is_refused_with_its_reason():
    broken = large_module().replace(b"\x41\x2a\x0b", b"\x42\x2a\x0b")
    with pytest.raises(InvalidModuleError, match="expected i32, found i64"):
        Compiler(must_not_compile_here).compile("large", broken)


def test_compiling_has_a_limit_of_time():
    with pytest.raises(InvalidModuleError, match=r"took longer than 0\.001 s"):
        Compiler(must_not_compile_here, wall_seconds=0.001).compile("large", large_module())


def test_a_compiler_that_dies_is_an_error_with_how(monkeypatch):
    monkeypatch.setattr(compilation, "_CHILD", ("/bin/sh", "-c", "cat >/dev/null; kill -9 $$"))
    with pytest.raises(InvalidModuleError, match="signal 9"):
        Compiler(must_not_compile_here).compile("large", large_module())

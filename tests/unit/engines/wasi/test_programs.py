"""Real C programs on the real engine, compared with wasmtime's own WASI where both can give the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.compilers import compiler_for
from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE
from moc_server_ext.engines.wasm.engine import WasmEngine
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import InvalidInputError, LimitExceededError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.registry import GuestModule
from moc_server_ext.model import CallResult, Invocation, Limits, Mode

HERE = Path(__file__).parent
ENV = {"HOME": "/tmp", "EMPTY": ""}
TEXT = "".join(f"{number} some line of text\n" for number in range(2000))
SCENARIOS: dict[str, tuple[str, ...]] = {
    "copy": ("copy",),
    "arguments": ("arguments", "", "-x", "two words", "ü"),
    "files": ("files",),
    "directories": ("directories",),
    "errors": ("errors",),
    "terminal": ("terminal",),
    "exit 0": ("exit", "0"),
    "exit 3": ("exit", "3"),
    "unknown": ("unknown",),
}

Run = Callable[..., CallResult]


@pytest.fixture(scope="session")
def program() -> bytes:
    source = HERE / "programs.c"
    return compiler_for("c").compile(source.read_text(), filename=source.name).content


class Counting(GuestModule):
    """A module that counts how often each function is called."""

    def __init__(self, original: GuestModule) -> None:
        super().__init__(original.name, negative_errors=False)
        self.counts = dict.fromkeys(original.functions, 0)
        for name, function in original.functions.items():
            self.functions[name] = replace(function, body=self._counted(name, function.body))

    def _counted(self, name: str, body: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.counts[name] += 1
            return body(*arguments)

        return counted


@pytest.fixture(scope="module")
def preview1() -> Counting:
    return Counting(PREVIEW1)


@pytest.fixture(scope="module")
def run(program: bytes, preview1: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    engine = WasmEngine([preview1, UNSTABLE], cache_directory=tmp_path_factory.mktemp("modules"))

    def run(*arguments: str, input: bytes = b"", module: bytes = program, deterministic: bool = False, **limits: Any):
        preview1.counts = dict.fromkeys(preview1.counts, 0)
        blob_id = f"{hash(module) & (1 << 256) - 1:064x}"
        invocation = Invocation(
            "guest", blob_id, Mode.POSIX, "_start", arguments=arguments, env=ENV, limits=replace(Limits(), **limits),
            deterministic=deterministic,
        )  # fmt: skip
        return engine.run(CallContext(invocation, ExchangeBuffer(input)), lambda: module)

    yield run
    engine.close()


@pytest.fixture(scope="module")
def native(program: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    path = tmp_path_factory.mktemp("native") / "programs.wasm"
    path.write_bytes(program)
    scenarios = [{"arguments": arguments, "env": ENV, "input": TEXT} for arguments in SCENARIOS.values()]
    command = [sys.executable, str(HERE / "native_wasi.py"), str(path)]
    printed = subprocess.run(command, input=json.dumps(scenarios), capture_output=True, text=True, check=True).stdout
    return dict(zip(SCENARIOS, map(tuple, json.loads(printed)), strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_program_gives_what_it_gives_on_wasmtimes_own_wasi(run, native, scenario):
    result = run(*SCENARIOS[scenario], input=TEXT.encode())
    assert (result.exit_code, result.output.decode()) == native[scenario]
    assert result.output or scenario.startswith(("exit", "unknown"))


def test_removing_entries_while_listing_them_removes_all(run):
    # Wasmtime's own WASI leaves about half of them: its cookies count the entries that are left.
    assert run("clean").output == b"1000 removed\nrmdir: ok\n"


@pytest.mark.parametrize("source", ["-", "api://input", "api:/input", "/api://input/0"])
@pytest.mark.parametrize("target", ["-", "api://output", "/api:/output"])
def test_a_copy_from_any_spelling_of_the_input_to_any_of_the_output_is_exact(run, source, target):
    assert run("copy", source, target, input=TEXT.encode()).output == TEXT.encode()


def test_a_terminal_is_never_claimed_and_stdout_is_buffered_fully(run, preview1):
    assert run("terminal").output == b"000\n"
    result = run("lines")
    assert result.output == b"".join(b"line %d\n" % number for number in range(10000))
    assert preview1.counts["fd_write"] <= len(result.output) // 1024 + 2


def test_a_short_program_makes_few_calls_of_the_host(run, preview1):
    run("exit", "0")
    assert sum(preview1.counts.values()) <= 8


def test_what_is_written_to_stderr_is_captured_apart_from_the_output(run):
    result = run("complain")
    assert (result.output, result.stderr) == (b"", b"wrong: 42\n")


def test_open_files_and_scratch_bytes_end_with_errors_that_the_program_sees(run):
    result = run("limits", open_files=5, scratch_bytes=1 << 20)
    assert result.output == b"5 files: No file descriptors available\n15 blocks: No space left on device\n"


def test_clocks_pass_and_sleep_lasts(run):
    assert run("clocks", input=b"x").output == b"slept now\npoll 1\n"


def test_a_sleep_ends_with_the_calls_time(run):
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        run("clocks", timeout_seconds=0.005)


def test_only_a_deterministic_function_sees_the_same_numbers_twice(run):
    assert run("numbers").output != run("numbers").output
    first = run("numbers", deterministic=True).output
    assert first == run("numbers", deterministic=True).output
    assert first.endswith(b" 1000000000.000001000\n")


def test_output_beyond_its_limit_ends_the_call(run):
    with pytest.raises(LimitExceededError, match="output_bytes"):
        run("lines", output_bytes=5000)


def test_a_module_of_the_unstable_version_runs(run):
    module = wat_to_wasm("""(module
      (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 8) "\\10\\00\\00\\00\\06\\00\\00\\00hello\\n")
      (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
        (call $exit (i32.const 7))))""")
    result = run(module=module)
    assert (result.exit_code, result.output) == (7, b"hello\n")


def test_refused_arguments_reach_the_caller_as_invalid_input(run):
    with pytest.raises(InvalidInputError, match="NUL"):
        run("a\0b")

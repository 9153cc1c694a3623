"""Finding a compiler, saying what is missing, and saying what takes long."""

from __future__ import annotations

import dataclasses
import fcntl
import stat
import threading

import pytest

from moc_server_ext.compilers import toolchains
from moc_server_ext.compilers.c import BUILDING_LIBRARIES, CCompiler
from moc_server_ext.errors import CompileFailedError, MissingExtraError, UnavailableError

pytestmark = pytest.mark.timeout(400)

SOURCE = "int f(void) { return 1; }"


@pytest.fixture
def without_zig(monkeypatch):
    monkeypatch.setattr(toolchains, "_zig_directory", lambda: None)


@pytest.mark.usefixtures("without_zig")
def test_a_missing_compiler_is_an_error_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'my-own-cluster\[c\]'"):
        CCompiler().compile(SOURCE, filename="cell")
    assert CCompiler().describe() is None


@pytest.mark.usefixtures("without_zig")
def test_clang_is_taken_when_it_is_there_with_its_linker_and_wasi_libc(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("clang", "wasm-ld"):
        (tmp_path / name).write_text("#!/bin/sh\necho Fake clang version 99.1\n")
        (tmp_path / name).chmod(0o755)
    assert toolchains.find_clang(sysroot=tmp_path) is None
    header = tmp_path / "include" / "wasm32-wasi" / "stdio.h"
    header.parent.mkdir(parents=True)
    header.touch()
    found = toolchains.find_toolchain(sysroot=tmp_path)
    assert found.name == "Fake clang version 99.1"
    assert f"--sysroot={tmp_path}" in found.hosted
    (tmp_path / "wasm-ld").unlink()
    with pytest.raises(MissingExtraError):
        toolchains.find_toolchain(sysroot=tmp_path)


def test_the_cache_belongs_to_the_user_alone(tmp_path):
    toolchains.find_toolchain(cache_directory=tmp_path / "deep" / "zig")
    assert stat.S_IMODE((tmp_path / "deep" / "zig").stat().st_mode) == 0o700


def test_a_cache_that_cannot_be_made_is_an_error_that_says_how_to_choose_another(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="XDG_CACHE_HOME"):
        toolchains.find_toolchain(cache_directory=tmp_path / "file" / "zig")


def test_describing_makes_no_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert toolchains.describe_toolchain().startswith("zig cc ")
    assert list(tmp_path.iterdir()) == []


def test_the_build_of_the_c_library_is_announced_until_it_has_succeeded_once(tmp_path):
    toolchain = dataclasses.replace(toolchains.find_toolchain(), libraries_marker=tmp_path / "built")
    compiler = CCompiler(toolchain)
    told: list[str] = []
    with pytest.raises(CompileFailedError):
        compiler.compile("int f(", filename="cell", progress=told.append)
    compiler.compile(SOURCE, filename="cell", flags=["-ffreestanding"], progress=told.append)
    assert told == []
    for _ in range(2):
        with pytest.raises(CompileFailedError):
            compiler.compile("int no(void); int f(void) { return no(); }", filename="cell", progress=told.append)
    assert told == [BUILDING_LIBRARIES] * 2
    compiler.compile(SOURCE, filename="cell", progress=told.append)
    compiler.compile(SOURCE, filename="cell", progress=told.append)
    assert told == [BUILDING_LIBRARIES] * 3


def test_of_two_that_need_the_c_library_one_builds_it_and_the_other_waits(tmp_path):
    marker = tmp_path / "built"
    compiler = CCompiler(dataclasses.replace(toolchains.find_toolchain(), libraries_marker=marker))
    told = threading.Event()
    second = threading.Thread(
        target=compiler.compile, args=(SOURCE,), kwargs={"filename": "cell", "progress": lambda _: told.set()}
    )
    with (tmp_path / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        assert told.wait(60)
        second.join(0.5)
        assert second.is_alive()
        assert not marker.exists()
    second.join()
    assert marker.exists()

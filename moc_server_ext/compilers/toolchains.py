"""Which C compilers for WebAssembly a machine can have, and how each is told the same things.

Two are known: the one in the ``ziglang`` package, which is the one that the shipped samples are built with, and a
clang of the system beside the headers of wasi-libc. What is compiled, and how it is linked, is the business of
``c.py``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from ..errors import MissingExtraError, UnavailableError

CLANG_NAMES: Final = ("clang-14", "clang")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """One C compiler with a C library for WebAssembly.

    Parameters
    ----------
    name
        The compiler and its version, for people.
    command
        How it is started.
    hosted, freestanding
        Its target with the C library on top of WASI, and without anything.
    link
        What every link needs, so that a runtime library has one form, and function names stay (a backtrace shows
        them).
    environment
        What is set while it runs.
    shown_without
        Regular expression of what is left out of paths in messages: where the compiler's own headers lie.
    libraries_marker
        A file that exists once the C library is built; None where it comes built.
    """

    name: str
    command: tuple[str, ...]
    hosted: tuple[str, ...]
    freestanding: tuple[str, ...]
    link: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    shown_without: str = r"(?!)"
    libraries_marker: Path | None = None


def find_toolchain(*, cache_directory: Path | None = None, sysroot: Path = Path("/usr")) -> Toolchain:
    """Find the compiler to use: ``ziglang`` when it is installed, else clang with wasi-libc.

    Parameters
    ----------
    cache_directory
        Where the C library that zig builds is kept; by default ``zig`` in the user's cache directory of moc.
    sysroot
        Where wasi-libc is installed.

    Raises
    ------
    MissingExtraError
        There is neither.
    UnavailableError
        The cache directory cannot be written.
    """
    directory = _zig_directory()
    if directory is not None:
        return _zig(directory, cache_directory or platformdirs.user_cache_path("moc") / "zig")
    clang = find_clang(sysroot=sysroot)
    if clang is None:
        raise MissingExtraError("A C compiler for WebAssembly", extra="c")
    return clang


def describe_toolchain() -> str | None:
    """Name the compiler that :func:`find_toolchain` would find, or None. Writes nothing."""
    if _zig_directory() is not None:
        return _zig_name()
    clang = find_clang()
    return clang.name if clang else None


def _zig_directory() -> Path | None:
    # The package's __init__ is empty, but importing `ziglang.__main__` would replace this process: look, do not import.
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0])
    return directory if (directory / "zig").is_file() else None


def _zig_name() -> str:
    return f"zig cc {importlib.metadata.version('ziglang')}"


def _zig(directory: Path, cache: Path) -> Toolchain:
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnavailableError(
            f"The C compiler's cache {str(cache)!r} cannot be written: {error.strerror}. "
            "Set XDG_CACHE_HOME to a directory that can.",
            path=str(cache),
        ) from None
    name = _zig_name()
    return Toolchain(
        name=name,
        command=(str(directory / "zig"), "cc"),
        hosted=("-target", "wasm32-wasi"),
        freestanding=("-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry"),
        # `-g` is what makes zig leave the function names in; it is also part of what its C library is cached under, so
        # that every link has it, and one optimisation level, whatever the person's flags are.
        link=("-Os", "-g"),
        environment={"ZIG_GLOBAL_CACHE_DIR": str(cache)},
        shown_without=r"[^\s:]*\bziglang/lib/(?:libc/include/[^/\s:]+/|include/)?",
        libraries_marker=cache / f"libraries-{name.rpartition(' ')[2]}",
    )


def find_clang(*, sysroot: Path = Path("/usr")) -> Toolchain | None:
    """Find a clang of the system, its linker and wasi-libc under `sysroot`; None when a part is missing."""
    if not (sysroot / "include" / "wasm32-wasi" / "stdio.h").is_file():
        return None
    for name in CLANG_NAMES:
        clang = shutil.which(name)
        linker = shutil.which(name.replace("clang", "wasm-ld"))
        if clang and linker:
            return Toolchain(
                name=_clang_version(clang),
                command=(clang,),
                hosted=("--target=wasm32-wasi", f"--sysroot={sysroot}"),
                freestanding=("--target=wasm32", "-nostdlib", "-Wl,--no-entry"),
                link=(f"-fuse-ld={linker}", "-Wl,--stack-first"),
                shown_without=re.escape(f"{sysroot}/include/wasm32-wasi/"),
            )
    return None


def _clang_version(clang: str) -> str:
    said = subprocess.run([clang, "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].strip() or Path(clang).name

"""Which compiler a language or a file gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moc_server_ext.compilers import all_compilers, compiler_for, compiler_for_file
from moc_server_ext.errors import UnknownLanguageError


def test_each_language_and_suffix_has_one_compiler():
    compilers = all_compilers()
    assert [compiler_for(each.language).language for each in compilers] == ["c", "wat"]
    suffixes = [suffix for each in compilers for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    for each in compilers:
        for suffix in each.suffixes:
            assert compiler_for_file(Path("some.dir") / f"x{suffix.upper()}").language == each.language


def test_an_unknown_language_lists_the_known_ones():
    with pytest.raises(UnknownLanguageError, match=r"'cobol'\. Known languages: c, wat\."):
        compiler_for("cobol")


@pytest.mark.parametrize("path", ["x.cob", "Makefile", ".c", "x."])
def test_a_file_of_an_unknown_suffix_lists_the_known_ones(path):
    with pytest.raises(UnknownLanguageError, match=r"\.c, \.wat"):
        compiler_for_file(path)


def test_asking_for_a_compiler_loads_neither_wasmtime_nor_zig():
    program = """
import sys
from moc_server_ext.compilers import all_compilers
[each.describe() for each in all_compilers()]
assert not {"wasmtime", "ziglang"} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)

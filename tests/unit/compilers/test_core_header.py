"""The C header of the guest API declares what the host provides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wasmtime

from moc_server_ext import compilers
from moc_server_ext.guest_api.core import CORE

HEADER = (Path(compilers.__file__).parent / "include" / "moc" / "core.h").read_text()
NAMES = sorted(re.findall(r'^MOC_CORE\("(\w+)"\)', HEADER, re.MULTILINE))


def test_every_function_of_the_guest_api_is_declared():
    # `test` only logs; a header that took so common a name would be in the way.
    assert {*NAMES, "test"} == set(CORE.functions)


@pytest.mark.timeout(400)
def test_imports_made_by_the_header_have_the_types_of_the_host(compile_c, engine):
    uses = "\n".join(f"void *use_{name}(void) {{ return (void *){name}; }}" for name in NAMES)
    module = wasmtime.Module(engine, compile_c(f"#include <moc/core.h>\n{uses}\n", "-ffreestanding"))
    found = {
        each.name: (tuple(map(str, each.type.params)), tuple(map(str, each.type.results)))
        for each in module.imports
        if isinstance(each.type, wasmtime.FuncType)
    }
    signatures = {name: CORE.functions[name].signature for name in NAMES}
    assert found == {name: (each.params, each.results) for name, each in signatures.items()}


def test_the_header_compiles_without_warnings_and_leaves_no_macro_behind(c):
    compiled = c.compile(
        "#include <moc/core.h>\n#ifdef MOC_CORE\n#error MOC_CORE\n#endif\nint f(void) { return is_trace(); }",
        filename="cell",
        flags=["-Wall", "-Wextra", "-Wpedantic", "-std=c99"],
    )
    assert compiled.diagnostics == ""

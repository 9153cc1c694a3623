"""What a C source becomes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import wasmtime

from moc_server_ext.compilers.c import CCompiler
from moc_server_ext.errors import CompileFailedError, InvalidInputError

pytestmark = pytest.mark.timeout(400)  # the first one builds the C library

HELLO = '#include <stdio.h>\nint main(int argc, char **argv) { printf("hello %s\\n", argv[argc - 1]); return 3; }\n'


def test_a_source_with_main_becomes_a_program(compile_c, exports, run_program):
    module = compile_c(HELLO)
    assert exports(module) == ["memory", "_start"]
    assert run_program(module, ["you"]) == (3, b"hello you\n", b"")


@pytest.mark.parametrize("main", ["int main(void)", "int main()", "int main(int count, char **words)"])
def test_every_form_of_main_is_seen(compile_c, exports, main):
    assert "_start" in exports(compile_c(f"int other(void) {{ return 1; }}\n{main} {{ return other(); }}"))


def test_without_main_every_function_that_is_not_static_is_exported_and_nothing_of_the_c_library(compile_c, exports):
    source = """
        #include <stdlib.h>
        #include <string.h>
        static int twice(int a) { return 2 * a; }
        int number = 7;
        int add(int a, int b) { return twice(a) + b; }
        char *copy(const char *text) { return strcpy(malloc(strlen(text) + 1), text); }
        void nothing(void) {}
    """
    assert sorted(exports(compile_c(source))) == ["_initialize", "add", "copy", "memory", "nothing"]


def test_a_direct_function_gives_the_right_number(compile_c, call):
    assert call(compile_c("int add(int a, int b) { return a + b; }"), "add", 2, 3) == 5


def test_the_word_main_in_a_comment_or_a_static_main_makes_no_program(compile_c, exports):
    assert "_start" not in exports(compile_c("/* int main(void) */ int f(void) { return 1; }"))


def test_a_name_that_the_source_exports_itself_is_exported_once(compile_c, exports):
    module = compile_c('__attribute__((export_name("shown"))) int hidden(int a) { return a; }')
    assert sorted(exports(module)) == ["_initialize", "memory", "shown"]


def test_imports_are_declared_by_attributes(compile_c, imports):
    source = """
        __attribute__((import_module("env"), import_name("random"))) int random_number(void);
        int roll(void) { return random_number() % 6; }
    """
    assert imports(compile_c(source)) == {("env", "random")}


def test_the_guest_api_is_declared_by_a_header_that_is_always_there(compile_c, imports):
    source = "#include <moc/core.h>\nint id(void) { return get_output_buffer_id(); }"
    assert imports(compile_c(source)) == {("core", "get_output_buffer_id")}
    assert imports(compile_c(source, "-ffreestanding")) == {("core", "get_output_buffer_id")}


@pytest.mark.parametrize("flag", ["-ffreestanding", "-nostdlib"])
def test_a_freestanding_source_gets_no_c_library(compile_c, exports, imports, flag):
    module = compile_c("struct big { int a[99]; }; void copy(struct big *a, struct big *b) { *a = *b; }", flag)
    assert (exports(module), imports(module)) == (["memory", "copy"], set())


def test_function_names_stay_and_debug_information_goes(compile_c):
    module = compile_c("static __attribute__((noinline)) int innermost(int a) { return 8 / a; }"
                       "int outer(int a) { return innermost(a) + 1; }")  # fmt: skip
    assert b"innermost" in module
    assert b".debug_info" not in module
    assert b".debug_info" in compile_c("int f(void) { return 1; }", "-g")


def test_the_stack_is_one_mebibyte_and_its_overflow_traps(compile_c, call, engine):
    module = compile_c("""
        int sum(int n) { volatile int part[250]; part[n % 250] = n; return n ? sum(n - 1) + part[n % 250] : 0; }
    """)
    memory = next(each.type for each in wasmtime.Module(engine, module).exports if each.name == "memory")
    assert memory.limits.min <= 18
    assert call(module, "sum", 900) == 900 * 901 // 2
    with pytest.raises(wasmtime.Trap, match="out of bounds"):
        call(module, "sum", 2000)


def test_flags_reach_the_compiler_and_the_linker(compile_c, exports, engine, call):
    assert call(compile_c("int f(void) { return VALUE; }", "-DVALUE=42"), "f") == 42
    module = compile_c("int f(void) { return 1; }", "-Wl,-z,stack-size=131072")
    memory = next(each.type for each in wasmtime.Module(engine, module).exports if each.name == "memory")
    assert memory.limits.min <= 4


def test_simd_and_another_optimisation_level_use_the_same_c_library(c, engine):
    told: list[str] = []
    source = '#include <stdio.h>\nvoid f(float *a) { for (int i = 0; i < 64; i++) a[i] *= 2; puts("x"); }'
    compiled = c.compile(source, filename="cell", flags=["-O3", "-msimd128"], progress=told.append)
    again = c.compile(source, filename="cell", flags=["-O3", "-msimd128"], progress=told.append)
    assert compiled == again
    assert len(told) <= 1
    assert [each.type for each in wasmtime.Module(engine, compiled.content).exports if each.name == "f"]


def test_headers_are_found_beside_the_file_and_for_a_cell_in_the_working_directory(
    compile_c, call, tmp_path, monkeypatch
):
    (tmp_path / "mine.h").write_text("#define MINE 11\n")
    source = '#include "mine.h"\nint f(void) { return MINE; }\n'
    (tmp_path / "x.c").write_text(source)
    assert call(compile_c(source, filename=str(tmp_path / "x.c")), "f") == 11
    with pytest.raises(CompileFailedError):
        compile_c(source)
    monkeypatch.chdir(tmp_path)
    assert call(compile_c(source), "f") == 11
    assert call(compile_c(source, filename="x.c"), "f") == 11


def test_the_environment_adds_nothing_to_the_command_line(compile_c, tmp_path, monkeypatch):
    (tmp_path / "mine.h").write_text("#define MINE 11\n")
    monkeypatch.setenv("CPATH", str(tmp_path))
    with pytest.raises(CompileFailedError, match="mine"):
        compile_c("#include <mine.h>\n")


@pytest.mark.parametrize("flags", [[], ["-g"]])
def test_the_same_source_gives_the_same_bytes_wherever_it_lies(compile_c, tmp_path, monkeypatch, flags):
    source = (
        "#include <assert.h>\n#include <stdio.h>\nint main(void) { assert(getchar()); puts(__FILE__); return 0; }\n"
    )
    modules = set()
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.c").write_text(source)
        monkeypatch.chdir(tmp_path / name)
        modules.add(compile_c(source, *flags, filename=str(tmp_path / name / "x.c")))
        modules.add(compile_c(source, *flags, filename="x.c"))
    assert len(modules) == 1
    assert str(tmp_path).encode() not in modules.pop()


def test_assert_holds_until_a_flag_switches_it_off(compile_c, run_program):
    source = "#include <assert.h>\nint main(int count, char **words) { assert(count > 1); return 7; }\n"
    checked = compile_c(source)
    assert run_program(checked, ["word"])[0] == 7
    with pytest.raises(wasmtime.Trap):
        run_program(checked)
    assert run_program(compile_c(source, "-DNDEBUG"))[0] == 7


def test_several_threads_compile_at_once(compile_c, call):
    found: dict[int, int] = {}

    def work(number: int) -> None:
        found[number] = call(compile_c(f"#include <stdlib.h>\nint f(void) {{ return abs(-{number}); }}"), "f")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(4)}


def test_the_compiler_is_named_with_its_version(c):
    assert c.describe().startswith("zig cc 0.")


# -- refusals ---------------------------------------------------------------------------------------------------------


def refusal(compiler: CCompiler, source: str, *flags: str, **options: object) -> str:
    with pytest.raises(CompileFailedError) as caught:
        compiler.compile(source, **{"filename": "cell", "flags": flags, **options})
    diagnostics = caught.value.details["diagnostics"]
    assert "moc-c-" not in diagnostics
    assert "generated" not in diagnostics
    return diagnostics


def test_errors_carry_the_line_numbers_of_the_cell(c):
    diagnostics = refusal(c, "int f(int a) {\n  return b;\n}\n", first_line=2)
    assert diagnostics.splitlines()[0] == "cell:3:10: error: use of undeclared identifier 'b'"
    assert diagnostics.splitlines()[1] == "    3 |   return b;"


def test_the_message_of_the_error_is_the_first_diagnostic(c):
    with pytest.raises(CompileFailedError, match=r"'cell' does not compile as c: cell:1:8: error: expected"):
        c.compile("int f( {", filename="cell")


@pytest.mark.parametrize("filename", ["some/dir/x.c", 'odd "name" \\.c', "über.c", "two\nlines.c"])
def test_errors_carry_the_name_of_the_file(c, filename):
    shown = filename.replace("\n", "?")
    assert refusal(c, "int f(", filename=filename).startswith(f"{shown}:1:7: error: ")


def test_paths_to_the_compilers_own_headers_are_short(c):
    diagnostics = refusal(c, "#include <setjmp.h>\nint f(void) { return 1; }")
    assert "\nsetjmp.h:" in diagnostics
    assert "site-packages" not in diagnostics


def test_an_undefined_function_is_named_and_the_attribute_for_imports_too(c):
    diagnostics = refusal(c, "int nowhere(int);\nint f(int a) { return nowhere(a); }")
    assert diagnostics.startswith("cell: error: undefined symbol: nowhere\n")
    assert "import_module" in diagnostics


@pytest.mark.parametrize("source", ["", "static int f(void) { return 1; }", "int number = 3;"])
@pytest.mark.parametrize("flags", [(), ("-ffreestanding",)])
def test_a_source_with_nothing_to_call_is_refused(c, source, flags):
    assert "there is nothing to call" in refusal(c, source, *flags)


def test_an_unknown_flag_is_named(c):
    assert "-nosuchflag" in refusal(c, "int f(void) { return 1; }", "-nosuchflag")


def test_flags_that_make_something_else_are_refused(c):
    with pytest.raises(InvalidInputError, match="such as -flto"):
        c.compile("int f(void) { return 1; }", filename="cell", flags=["-flto"])


def test_warnings_come_with_the_module(c):
    compiled = c.compile("#warning take care\nint f(void) { return 1; }", filename="cell", first_line=5)
    assert compiled.diagnostics.startswith("cell:5:2: warning: take care")
    assert compiled.content_type == "application/wasm"
    assert c.compile("int f(void) { return 1; }", filename="cell").diagnostics == ""


def test_nothing_is_left_in_the_temporary_directory(c, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    c.compile("int f(void) { return 1; }", filename="cell")
    refusal(c, "int f(")
    assert list(Path(tmp_path).iterdir()) == []

"""``%%moc c``: C in a cell, compiled, registered and called; and what the compiler says about a wrong one."""

from __future__ import annotations

import pytest

from moc_server_ext import compilers


@pytest.fixture(scope="module", autouse=True)
def compiler():
    """Build the C library first, where that was never done: it may take a minute."""
    c = compilers.compiler_for("c")
    if c.describe() is None:
        pytest.skip("no C compiler for WebAssembly is installed")
    c.compile('#include <stdio.h>\nint main(void) { puts(""); }', filename="warm.c")


def test_a_function_without_main_is_called_with_numbers(kernel):
    cell = kernel.do("%%moc c triple\nint triple(int x) {\n    return 3 * x;\n}")
    assert cell.stdout == "registered function 'triple': triple(i32) -> (i32)\n"
    assert kernel.do("%moc call triple 14").stdout == "42\n"


def test_a_program_reads_the_cell_and_writes_its_answer(kernel):
    source = (
        '#include <stdio.h>\nint main(void) { int c, n = 0; while ((c = getchar()) != EOF) n++; printf("%d\\n", n); }'
    )
    kernel.do(f"%%moc c count\n{source}")
    assert kernel.do("%%moc call count\n12345").stdout.strip() in ("5", "6")


@pytest.mark.parametrize("blank", ["", "\n\n"])
def test_a_compilers_message_has_the_line_number_of_the_cell(kernel, blank):
    cell = kernel.run(f"{blank}%%moc c wrong\nint wrong(int x) {{\n    return x + y;\n}}")
    line = 3 + len(blank)
    assert cell.error["ename"] == "CompileFailedError"
    assert f"cell:{line}:16: error: use of undeclared identifier 'y'" in cell.error_text
    assert "Traceback" not in cell.error_text
    assert kernel.run("%moc call wrong 1").error["ename"] == "FunctionNotFoundError"


def test_a_compilers_warning_is_shown_and_the_function_is_registered(kernel):
    cell = kernel.do("%%moc c careless -Wall\nint careless(void) {\n    int unused;\n    return 7;\n}")
    assert "cell:3:9: warning: unused variable 'unused'" in cell.stderr
    assert kernel.do("%moc call careless").stdout == "7\n"


def test_a_backtrace_leads_to_the_lines_of_the_cell_with_the_flag_for_it(kernel):
    source = "int share(int a, int b) {\n    return a / b;\n}"
    kernel.do(f"%%moc c share -g\n{source}")
    assert "    share at cell:3:14" in kernel.run("%moc call share 1 0").error_text.splitlines()
    kernel.do(f"%%moc c share\n{source}")
    assert "    share" in kernel.run("%moc call share 1 0").error_text.splitlines()

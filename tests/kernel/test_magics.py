"""``%moc`` and ``%%moc`` in real kernels: what is shown, what is raised, and what the value is."""

from __future__ import annotations

import pytest

from guests import PANIC, panicking, tells_inputs
from moc_kernel.magics import MocMagics
from moc_server_ext.verbs import build_group


@pytest.mark.parametrize("line", ["%moc -h", "%moc --help", "%moc"])
def test_help_lists_the_verbs(kernel, line):
    shown = kernel.do(line).stdout
    assert "mapreduce" in shown
    assert "call" in shown


@pytest.mark.parametrize("line", ["%moc call -h", "%moc call --help", "%%moc call -h\nignored text"])
def test_help_of_a_verb_shows_its_options_and_an_example(kernel, line):
    shown = kernel.do(line).stdout
    assert "-o VAR" in shown
    assert "Example" in shown


def test_a_question_mark_shows_what_the_magic_is_for(kernel):
    assert "%moc call NAME 1 2" in kernel.do("%moc?").help


def test_the_magics_own_help_names_only_verbs_that_exist():
    lines = [line.split() for line in (MocMagics.moc.__doc__ or "").splitlines()]
    named = {words[1] for words in lines if words and words[0] in ("%moc", "%%moc")} - {"-h"}
    assert named == named & set(build_group("magic").commands)
    assert named


def test_a_direct_call_shows_its_number_and_its_value_holds_it(kernel):
    assert kernel.do("%moc call add 20 22").stdout == "42\n"
    assert kernel.do("r = %moc call add 20 22\nprint(r.result + 1)").stdout == "42\n43\n"


def test_a_call_on_the_last_line_is_shown_once(kernel):
    cell = kernel.do("%moc call add 1 2")
    assert cell.stdout == "3\n"
    assert cell.result is None
    assert not cell.shown


def test_every_line_of_a_cell_is_shown(kernel):
    assert kernel.do("%moc call add 1 1\nfor n in (2, 3):\n    %moc call add {n} 1").stdout == "2\n3\n4\n"


def test_a_value_that_is_looked_at_later_is_shown_again(kernel):
    kernel.do("later = %moc call add 1 2")
    assert kernel.do("later").result == {"text/plain": "CallResult(result=3)"}


def test_the_cell_is_the_input_and_is_never_expanded(kernel):
    cell = kernel.do("name = 'cat'\n%moc call {name}\n")
    assert cell.stdout == ""
    assert kernel.do("%%moc call {name}\nhello {name} $name\n  é\n").stdout == "hello {name} $name\n  é\n"


def test_variables_and_files_are_inputs_in_the_order_of_the_line_behind_the_cell(kernel):
    kernel.do(f"import moc_kernel\nmoc_kernel.connect().functions.put('tell', {tells_inputs()!r});")
    kernel.do("one, two = b'1', b'2'\nopen('three', 'wb').write(b'3');")
    cell = kernel.do("%moc call -i two --input-file three -i one -o told tell\nprint(told)")
    assert cell.stdout == "b'2\\n{}\\n3\\n{}\\n1\\n{}\\n'\n"
    cell = kernel.do("%%moc call -i two tell\nthe cell")
    assert cell.stdout == "the cell\n\n{}\n2\n{}\n"


def test_braces_and_dollars_on_the_line_stand_for_variables(kernel):
    assert kernel.do("a, b = 3, 4\n%moc call add {a + 1} $b").stdout == "8\n"


def test_a_variable_goes_in_and_the_output_comes_back_in_another(kernel):
    cell = kernel.do("text = b'\\x00\\xff bytes'\n%moc call -i text -o back cat")
    assert (cell.stdout, cell.shown, cell.result) == ("", [], None)
    assert kernel.do("print(back == text)").stdout == "True\n"


@pytest.mark.parametrize("value", ["'é'", "'é'.encode()", "bytearray('é'.encode())", "memoryview('é'.encode())"])
def test_text_and_every_kind_of_bytes_can_go_in(kernel, value):
    assert kernel.do(f"given = {value}\n%moc call -i given cat").stdout == "é\n"


def test_the_result_of_a_direct_call_is_what_is_assigned(kernel):
    assert kernel.do("%moc call -o number add 1 2\nprint(repr(number))").stdout == "3\n"


def test_a_variable_inside_a_function_can_go_in(kernel):
    code = "def f(inner):\n    get_ipython().run_line_magic('moc', 'call -i inner cat')\nf(b'local')"
    assert kernel.do(code).stdout == "local\n"


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("%moc call ad 1 2", "FunctionNotFoundError", "moc: error[function_not_found]: No function is named 'ad'."),
        ("%moc call -i tex cat", "InvalidInputError", "moc: error[invalid_input]: No variable is named 'tex'."),
        ("%moc call -i 5x cat", "InvalidInputError", "moc: error[invalid_input]: No variable is named '5x'."),
        ("%moc call -o 5x cat", "InvalidInputError", "moc: error[invalid_input]: '5x' cannot be the name"),
        ("%moc cal add 1 2", "UsageError", "moc: error[usage]: %moc has no verb 'cal'. Did you mean 'call'"),
        ("%moc call --nope add", "UsageError", "moc: error[usage]: %moc call has no option '--nope'."),
        (
            "%moc call 'add",
            "UsageError",
            "moc: error[usage]: The line cannot be split into words: No closing quotation",
        ),
        ("%moc call add 1", "InvalidArgumentsError", "moc: error[invalid_arguments]: 'add' of function 'add' takes 2"),
        ("%moc call --entry x add", "EntryPointNotFoundError", "moc: error[entry_point_not_found]: "),
        ("%moc push x nowhere.wasm", "InvalidInputError", "moc: error[invalid_input]: File 'nowhere.wasm' cannot be"),
        ("%moc buffer get nothing", "BufferNotFoundError", "moc: error[buffer_not_found]: No buffer is named"),
        ("%%moc wat broken\n(module (func", "CompileFailedError", "moc: error[compile_failed]: "),
    ],
)
def test_a_mistake_is_a_clean_message_that_fails_the_cell(kernel, line, kind, message):
    cell = kernel.run(line)
    assert cell.status == "error"
    assert cell.error["ename"] == kind
    assert cell.error_text.startswith(message)
    assert "Traceback" not in cell.error_text
    assert ".py" not in cell.error_text


def test_an_error_keeps_its_class_for_python(kernel):
    code = (
        "from moc_server_ext.errors import FunctionNotFoundError\n"
        "try:\n    %moc call ad\nexcept FunctionNotFoundError as error:\n    print(error.details['nearest'])"
    )
    assert kernel.do(code).stdout == "['add']\n"


def test_a_trap_shows_the_guests_backtrace(kernel):
    cell = kernel.run("%moc call divide 0")
    assert cell.error["ename"] == "TrapError"
    assert "guest backtrace" in cell.error_text
    assert "divide" in cell.error_text


def test_a_panic_shows_its_text_once(kernel, tmp_path):
    (tmp_path / "panic.wasm").write_bytes(panicking())
    kernel.do(f"%moc push panic {tmp_path}/panic.wasm")
    for line in ("%moc call panic", "from moc_kernel import connect\nconnect().call('panic')"):
        cell = kernel.run(line)
        assert cell.error["ename"] == "TrapError"
        assert "'panic' trapped in app::parse: unreachable" in cell.error_text
        assert (cell.stderr + cell.error_text).count(PANIC) == 1


def test_a_limit_ends_an_endless_guest(kernel):
    cell = kernel.run("%moc call --limit timeout_seconds=0.2 spin")
    assert cell.error["ename"] == "LimitExceededError"
    assert "timeout_seconds = 0.2" in cell.error_text


def test_an_exit_code_is_a_result_that_is_said_and_stderr_is_shown(kernel):
    cell = kernel.do("r = %moc call complain\nprint(r.exit_code)")
    assert cell.stdout == "3\n"
    assert cell.stderr == "no such luck\nmoc: 'complain' ended with exit code 3\n"


INTERRUPT_DURING_A_CALL = """
import os, signal, sys, threading, time, traceback
main = threading.main_thread().ident
def interrupt():
    while "call_sync" not in {frame.name for frame in traceback.extract_stack(sys._current_frames()[main])}:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
%moc call spin
"""


def test_an_interrupt_ends_a_running_call_and_the_kernel_goes_on(kernel):
    cell = kernel.run(INTERRUPT_DURING_A_CALL)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert cell.error_text == "moc: interrupted"
    assert kernel.do("%moc call add 1 2").stdout == "3\n"


def test_a_long_output_is_cut_at_64_kib_and_says_how_to_get_the_rest(kernel):
    cell = kernel.do("big = b'x' * 200_000\n%moc call -i big cat")
    assert cell.displayed_bytes <= 64 << 10
    assert "of 200,000 bytes are shown" in cell.stdout
    assert "-o NAME" in cell.stdout


def test_many_outputs_in_one_cell_stay_below_64_kib_together(kernel):
    cell = kernel.do("part = b'y' * 30_000\nfor _ in range(9):\n    %moc call -i part cat")
    assert 60_000 < cell.displayed_bytes <= 64 << 10
    assert cell.stdout.count("more is not shown") == 1
    assert kernel.do("%moc call add 1 2").stdout == "3\n"


def test_a_long_stderr_is_cut_to_its_end(kernel):
    cell = kernel.do("big = b'x' * 100_000 + b'the end'\n%moc call -i big cat-to-stderr")
    assert cell.displayed_bytes <= 64 << 10
    assert "of 100,007 bytes of stderr" in cell.stderr
    assert cell.stderr.endswith("the end\n")


def test_an_error_of_the_python_client_shows_the_persons_lines_and_none_of_mocs(kernel):
    cell = kernel.run("from moc_kernel import connect\ndef ask(name):\n    return connect().call(name)\n\nask('ad')")
    assert cell.error["ename"] == "FunctionNotFoundError"
    first, *lines = cell.error_text.splitlines()
    assert first == "moc: error[function_not_found]: No function is named 'ad'. Did you mean 'add'?"
    assert [line.partition("], ")[2] for line in lines] == [
        "line 5: ask('ad')",
        "line 3: return connect().call(name)",
    ]


def test_an_error_of_the_persons_own_code_keeps_its_traceback(kernel):
    cell = kernel.run("from moc_kernel import connect\nconnect().functions\n1 / 0")
    assert cell.error["ename"] == "ZeroDivisionError"
    assert "Traceback" in cell.error_text


@pytest.mark.parametrize("path", ["nul\\0", "~nobody-has-this-name/f"])
def test_a_path_that_cannot_be_one_is_a_clean_message(kernel, path):
    cell = kernel.run(f"get_ipython().run_line_magic('moc', \"push f '{path}'\")")
    assert "moc: error[invalid_input]: File" in cell.error_text
    assert "Traceback" not in cell.error_text


def test_with_moc_debug_the_traceback_stays(kernel):
    kernel.do("import os\nos.environ['MOC_DEBUG'] = '1'\nfrom moc_kernel import connect")
    try:
        assert "Traceback" in kernel.run("%moc call ad").error_text
        assert "Traceback" in kernel.run("connect().call('ad')").error_text
    finally:
        kernel.do("del os.environ['MOC_DEBUG']")


def test_an_output_that_is_no_text_is_shown_as_its_first_page(kernel):
    cell = kernel.do("raw = bytes(range(256)) * 1000\n%moc call -i raw cat")
    assert cell.stdout == ""
    assert cell.shown[0]["text/plain"].splitlines()[1].startswith("00000000  00 01 02")
    assert "text/html" in cell.shown[0]
    assert cell.displayed_bytes <= 64 << 10


def test_lists_are_tables_in_html_and_text(kernel):
    cell = kernel.do("table = %moc functions")
    assert "<table>" in cell.shown[0]["text/html"]
    assert "spin" in cell.shown[0]["text/plain"]
    assert kernel.do("print([row[0] for row in table.rows])").stdout.startswith("['add', 'cat'")


def test_a_cell_below_a_verb_that_takes_none_is_noticed(kernel):
    cell = kernel.do("%%moc functions\nsomething")
    assert cell.stderr == "moc: the text below the line was not used\n"


def test_a_machine_sees_no_progress_and_a_person_sees_it_go(kernel):
    code = (
        "from moc_kernel.progress import CellProgress\nimport threading\n"
        "appeared = threading.Event()\n"
        "class Heard(CellProgress):\n"
        "    def _publish(self, bundle, *, update):\n"
        "        super()._publish(bundle, update=update)\n"
        "        appeared.set()\n"
        "with Heard(get_ipython(), 'working', 4) as progress:\n"
        "    progress.update(2)\n"
        "    appeared.wait({seconds})"
    )
    assert kernel.do(code.format(seconds=1)).shown == []
    watched = kernel.do(code.format(seconds=30), watched=True).shown
    assert "working" in watched[0]["text/html"]
    assert watched[-1] == {"text/plain": "", "text/html": ""}

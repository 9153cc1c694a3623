"""Tab and Shift-Tab, asked for as front ends do: over the messages of real kernels. A bar stands for the cursor."""

from __future__ import annotations

import os
import re
import signal

import pytest

from support import check_in_the_end, start_server


def complete(kernel, text: str) -> list[str]:
    """Press Tab, and give what the word at the cursor may become."""
    cursor = text.index("|")
    reply = kernel._reply(kernel.client.complete(text.replace("|", "", 1), cursor))
    assert reply["status"] == "ok"
    assert reply["cursor_end"] == cursor
    return reply["matches"]


def inspect(kernel, text: str) -> str:
    """Press Shift-Tab, and give the text that is shown, without colours."""
    reply = kernel._reply(kernel.client.inspect(text.replace("|", "", 1), text.index("|")))
    assert reply["status"] == "ok"
    return re.sub(r"\x1b\[[0-9;]*m", "", reply["data"].get("text/plain", ""))


@pytest.fixture(scope="module")
def stocked(kernel):
    """Give both kernels, connected (embedded), with something of every kind."""
    kernel.do("from moc_kernel import connect\nmoc = connect()")
    kernel.do("moc.buffers['books'] = b'b'\nmoc.buffers['my notes'] = b'n'\nmoc.buffers['{x}'] = b''")
    kernel.do("moc.kv['visits/a'] = moc.kv['visits/b'] = moc.kv['other'] = b''")
    kernel.do("import math\ntext = 'abc'\nnumber = 3")
    kernel.do("open('program.c', 'w').close()\nopen('of mine.c', 'w').close()")
    return kernel


def test_verbs_are_offered_on_lines_and_cells_in_the_order_of_the_help(stocked):
    for magic in ("%moc |", "%%moc |\nint main() {}", "\n\n%%moc |", "x = 1\n  %moc |", "result = %moc |"):
        offered = complete(stocked, magic)
        assert offered[:2] == ["push", "call"], magic
        assert "status" in offered
        assert "abs" not in offered
    assert complete(stocked, "%moc bu|") == ["buffers", "buffer"]
    assert complete(stocked, "%%moc buffer |")[:3] == ["put", "get", "delete"]


def test_options_are_offered_until_they_are_given(stocked):
    offered = complete(stocked, "%%moc call --|\ntext")
    assert {"--mode", "--entry", "--input", "--limit"} < set(offered)
    offered = complete(stocked, "%moc call --mode direct --limit memory_bytes=1MiB --|")
    assert "--mode" not in offered
    assert {"--entry", "--limit"} < set(offered)  # --limit may be repeated.
    assert {"-i", "-o"} < set(complete(stocked, "%moc call -|"))


def test_choices_of_options_are_offered(stocked):
    assert complete(stocked, "%moc call --mode |") == ["posix", "direct"]
    assert complete(stocked, "%moc call --mode=d|") == ["--mode=direct"]
    assert complete(stocked, "%moc mapreduce --executor |") == ["threads"]
    assert complete(stocked, "%moc push --grant k|") == ["kv"]
    assert complete(stocked, "%moc call --limit time|") == ["timeout_seconds="]


def test_what_is_there_is_offered_behind_the_kind_of_a_grant(stocked):
    assert complete(stocked, "%%moc c --grant call:ca|\nint main() {}") == ["call:cat", "call:cat-to-stderr"]
    assert complete(stocked, "%moc push --grant=blob:di|") == ["--grant=blob:divide"]
    assert complete(stocked, "%moc push --grant buffer:|") == ["buffer:books", "'buffer:my notes'"]
    assert complete(stocked, "%moc push --grant kv:vi|") == ["kv:visits/a", "kv:visits/b"]
    assert complete(stocked, "%moc push --grant status:|") == []


def test_functions_are_offered_wherever_one_is_named(stocked):
    for line in ("call", "push", "function show", "function delete", "mapreduce --map", "mapreduce --combine"):
        assert complete(stocked, f"%moc {line} ca|") == ["cat", "cat-to-stderr"], line
    assert complete(stocked, "%%moc call di|\n4") == ["divide"]
    assert complete(stocked, "%moc mapreduce --reduce=di|") == ["--reduce=divide"]


def test_entry_points_are_those_of_the_function_on_the_line(stocked):
    assert complete(stocked, "%moc call --entry | add 1 2") == ["add"]
    assert complete(stocked, "%moc call --entry | --mode direct divide") == ["divide"]
    assert complete(stocked, "%moc push add file.wasm --entry |") == ["add"]
    assert {"_start", "add", "divide"} <= set(complete(stocked, "%moc call --entry |"))


def test_buffers_are_offered_as_the_line_reads_them(stocked):
    assert complete(stocked, "%moc buffer get |") == ["books", "'my notes'"]  # IPython would expand {x}.
    assert complete(stocked, "%moc mapreduce --map cat b|") == ["books"]
    assert complete(stocked, '%moc buffer get "my|') == ['"my notes"']
    assert complete(stocked, "%moc buffer get 'my|'") == ["'my notes"]  # The editor has closed the quote.
    assert stocked.do(f"%moc buffer get {complete(stocked, '%moc buffer get |')[1]}").stdout == "n\n"


def test_keys_are_offered_by_prefix(stocked):
    assert complete(stocked, "%moc kv get vi|") == ["visits/a", "visits/b"]
    assert complete(stocked, "%moc kv list |") == ["other", "visits/a", "visits/b"]


def test_variables_are_offered_that_fit(stocked):
    assert complete(stocked, "%moc call -i |") == ["text"]
    assert complete(stocked, "%moc call -i text -i |") == ["text"]
    assert {"text", "number"} <= set(complete(stocked, "%moc call -o |"))
    assert "math" not in complete(stocked, "%moc call -o |")


def test_files_are_offered_with_directories_to_go_on_into(stocked):
    assert complete(stocked, "%moc push name pro|") == ["program.c"]
    assert complete(stocked, "%moc compile 'of|") == ["'of mine.c'"]
    assert complete(stocked, "%moc call --input-file sto|") == ["storage/"]
    assert "storage/FORMAT.json" in complete(stocked, "%moc buffer put name storage/|")


def test_nothing_of_python_is_offered_for_what_belongs_to_the_guest(stocked):
    for line in ("%moc call add |", "%moc call add --|", "%moc call add --entry |", "%%moc call cat pri|\ntext"):
        assert complete(stocked, line) == [], line


def test_outside_of_the_magics_lines_completion_is_ipythons(stocked):
    assert "text" in complete(stocked, "%moc call {te|")
    assert "moc" in complete(stocked, "%moc status\nmo|")
    assert "push" not in complete(stocked, "%%moc wat name\n%moc |")
    assert {"add", "cat"} <= set(complete(stocked, "moc.functions.|"))


def test_a_line_without_end_is_no_error(stocked):
    for line in ("%moc call 'a b|", "%moc --bogus |", "%moc call --mode=|\\", "%moc nosuch -|", '%moc kv get "\\|'):
        complete(stocked, line)
    assert stocked.do("1").stderr == ""


def test_a_tab_opens_no_storage_and_says_nothing(fresh_kernel):
    for line in ("%moc call |", "%moc buffer get |", "%%moc kv get |", "%moc call --entry |"):
        assert complete(fresh_kernel, line) == [], line
    assert "call" in complete(fresh_kernel, "%moc |")
    assert not fresh_kernel.storage.exists()
    assert fresh_kernel.do("import threading; print(threading.active_count())").stderr == ""


def test_unloading_the_extension_takes_the_completion_away(plain_kernel):
    plain_kernel.do("%load_ext moc_kernel")
    assert "mapreduce" in complete(plain_kernel, "%moc mapr|")
    plain_kernel.do("%unload_ext moc_kernel")
    assert "mapreduce" not in complete(plain_kernel, "%moc mapr|")
    plain_kernel.do("%load_ext moc_kernel")
    assert complete(plain_kernel, "%moc mapr|") == ["mapreduce"]


@pytest.fixture
def server(tmp_path):
    server = start_server(tmp_path / "storage")
    yield server
    server.kill()


def test_names_come_from_the_server_of_the_storage_before_anything_is_connected(server, fresh_kernel):
    assert complete(fresh_kernel, "%moc buffer get |") == []
    fresh_kernel.do(f"from moc_kernel import connect\nother = connect(storage={str(fresh_kernel.storage)!r})")
    fresh_kernel.do("other.buffers['books'] = b''\nimport threading\nbefore = threading.active_count()")
    check_in_the_end(lambda: complete(fresh_kernel, "%moc buffer get |"), ["books"])
    connected = "get_ipython().moc_session._client"
    assert fresh_kernel.do(f"print(threading.active_count() <= before, {connected})").stdout == "True None\n"
    fresh_kernel.do("%moc kv set key value")
    check_in_the_end(lambda: complete(fresh_kernel, "%moc kv get |"), ["key"])


def test_a_server_that_hangs_or_has_gone_is_not_waited_for(server, fresh_kernel):
    fresh_kernel.do("from moc_kernel import connect\nmoc = connect()\nmoc.buffers['books'] = b''")
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        # Requests of other kinds would wait for a minute, which is longer than a reply is waited for here.
        assert complete(fresh_kernel, "%moc buffer get |") == []
        assert "call" in complete(fresh_kernel, "%moc |")
        assert "list" in complete(fresh_kernel, "moc.functions.|")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    check_in_the_end(lambda: complete(fresh_kernel, "%moc buffer get |"), ["books"])
    server.kill()
    assert complete(fresh_kernel, "%moc buffer get |") == []
    assert fresh_kernel.do("1").stderr == ""


def test_inspecting_a_function_tells_how_it_is_called_and_what_it_is(stocked):
    shown = inspect(stocked, "moc.functions.add|")
    assert re.search(r"Signature:\s+moc\.functions\.add\(\s*i32_1: int,\s*i32_2: int,", shown)
    assert "add(i32, i32) -> (i32)" in shown
    blob_id = stocked.do("print(moc.functions.add.record.blob_id)").stdout
    for fact in (
        "mode: +direct",
        "entry point: +add",
        "grants: +none",
        rf"blob id: +{blob_id[:12]}…",
        r"size: +\d+ bytes",
    ):
        assert re.search(fact, shown), fact
    assert "i32_1" in inspect(stocked, "moc.functions.add(1, |)")
    assert re.search(r"mode: +posix", inspect(stocked, "moc.functions.cat(|"))


def test_inspecting_inside_of_brackets_shows_the_functions(stocked):
    # Front ends' kernels look names up, not subscripts; the question mark can.
    assert "add(i32, i32) -> (i32)" in inspect(stocked, "moc.functions['add|']")
    stocked.do("chosen = moc.functions['cat-to-stderr']")
    assert "'cat-to-stderr'" in inspect(stocked, "chosen(|)")


def test_inspecting_a_function_that_is_not_there_is_no_error(stocked):
    assert inspect(stocked, "moc.functions.nothing|") == ""

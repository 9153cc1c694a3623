"""Everything that can be wrong with what people bring, through every door of the real platform.

The same table for the notebook's magics, the Python client, the shell (embedded and beside a server) and curl: what is
said must tell what to do, nothing of Python is shown, and a good call succeeds right after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode

import pytest

from moc_server_ext.compilers import compiler_for
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.storage import Storage
from support import start_server

_WASI = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func (export "_start") %s))"""
_FLOOD = """(i32.store (i32.const 4) (i32.const 65536))
  (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))"""

MODULES = {
    "add": '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))',
    "lost": '(module (import "env" "rand" (func)) (func (export "f")))',
    "fall": '(module (func $inner unreachable) (func $outer (export "fall") call $inner))',
    "three": _WASI % "(call $exit (i32.const 3))",
    "spin": '(module (func $around (export "spin") (loop br 0)))',
    "large": '(module (memory (export "memory") 5000) (func (export "large")))',
    "grow": """(module (memory (export "memory") 1) (func (export "grow")
      (loop (if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable)) br 0)))""",
    "flood": _WASI % _FLOOD,
}
CALLABLE = ("add", "fall", "three", "spin", "large", "grow", "flood")
BAD_C = "int f(void) {\n  return answer;\n}\n"
GOOD_C = "int f(void) { return 1; }\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Give a directory with the modules, and with what is none."""
    directory = tmp_path_factory.mktemp("files")
    for name, text in MODULES.items():
        (directory / f"{name}.wasm").write_bytes(wat_to_wasm(text))
    (directory / "notes.wasm").write_bytes(b"hello")
    (directory / "empty.wasm").write_bytes(b"")
    (directory / "cut.wasm").write_bytes((directory / "add.wasm").read_bytes()[:-5])
    (directory / "bad.c").write_text(BAD_C)
    (directory / "good.c").write_text(GOOD_C)
    (directory / "nothing").mkdir()
    # Found before the real package, and no compiler.
    (directory / "nothing" / "ziglang.py").write_text("")
    return directory


# -- the doors --------------------------------------------------------------------------------------------------------


class ShellDoor:
    """``moc`` in a terminal."""

    def __init__(self, shell, files):
        self.shell = shell

    def push(self, name, file):
        return self.shell("push", name, file)

    def call(self, name, *arguments, entry=None, limit=None):
        options = [*(["--entry", entry] if entry else []), *(["--limit", limit] if limit else [])]
        return self.shell("call", *options, name, *arguments)


class MagicDoor:
    """``%moc`` in a cell."""

    def __init__(self, notebook, files):
        self.notebook = notebook

    def push(self, name, file):
        return self.notebook(f"%moc push {name} {file}")

    def call(self, name, *arguments, entry=None, limit=None):
        options = [*(["--entry", entry] if entry else []), *(["--limit", limit] if limit else [])]
        return self.notebook(f"%moc {shlex.join(['call', *options, name, *arguments])}")


class PythonDoor:
    """The client object in a cell."""

    def __init__(self, notebook, files):
        self.notebook = notebook

    def push(self, name, file):
        return self.notebook(f"moc.functions.put({name!r}, open({file!r}, 'rb').read())")

    def call(self, name, *arguments, entry=None, limit=None):
        limit_name, _, value = (limit or "").partition("=")
        limits = {limit_name: json.loads(value)} if limit else {}
        return self.notebook(f"moc.call(*{(name, *arguments)!r}, entry={entry!r}, limits={limits!r})")


class CurlDoor:
    """The API over HTTPS."""

    def __init__(self, curl, files):
        self.curl = curl
        self.files = files

    def push(self, name, file):
        return self.curl("PUT", f"functions/{name}", body=(self.files / file).read_bytes())

    def call(self, name, *arguments, entry=None, limit=None):
        query = [("arg", each) for each in arguments]
        query += [("entry", entry)] if entry else []
        query += [("limit", limit)] if limit else []
        return self.curl("POST", f"functions/{quote(name)}/call?{urlencode(query)}", "--include")


DOORS = {
    "magic": (MagicDoor, "notebook"),
    "python": (PythonDoor, "notebook"),
    "shell": (ShellDoor, "shell"),
    "embedded": (ShellDoor, "embedded_shell"),
    "curl": (CurlDoor, "curl"),
}


@pytest.fixture(scope="module", params=DOORS)
def door(request, files):
    """Give each door in turn, with the functions registered through it."""
    kind, fixture = DOORS[request.param]
    made = kind(request.getfixturevalue(fixture), files)
    for name in CALLABLE:
        assert made.push(name, f"{name}.wasm").error == ""
    return made


@pytest.fixture
def still_works(door):
    """Check after the test that a good call succeeds."""
    yield
    answer = door.call("add", "40", "2")
    assert answer.error == ""
    assert "42" in answer.output


# -- modules and calls, through every door ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "code", "parts"),
    [
        ("notes.wasm", "invalid_module", ("'mine' is not a WebAssembly module", "it begins with b'hello'")),
        ("empty.wasm", "invalid_module", ("it is empty",)),
        ("cut.wasm", "invalid_module", ("'mine' is not a WebAssembly module",)),
        ("lost.wasm", "missing_import", ("`env.rand`", "Available: ", "core", "wasi_snapshot_preview1")),
    ],
)
@pytest.mark.usefixtures("still_works")
def test_a_module_that_cannot_run_is_refused_and_not_registered(file, code, parts, door):
    door.push("mine", file).check_refused(code, *parts)
    door.call("mine").check_refused("function_not_found", "No function is named 'mine'")


@pytest.mark.parametrize(
    ("call", "code", "parts"),
    [
        (("ad",), "function_not_found", ("No function is named 'ad'", "Did you mean 'add'?")),
        (("entirely-else",), "function_not_found", ("`moc functions` lists what there is",)),
        (("add", "1"), "invalid_arguments", ("takes 2 arguments (i32, i32) and was given 1: (1)",)),
        (("add", "1", "2", "3"), "invalid_arguments", ("takes 2 arguments (i32, i32) and was given 3",)),
        (("add", "1", "two"), "invalid_arguments", ("(i32, i32)", "'two' is no i32")),
        (("add", "1", "4294967296"), "invalid_arguments", ("'4294967296' is no i32",)),
        (("fall",), "guest_trap", ("trapped in inner: unreachable", "inner", "outer")),
        (("grow",), "guest_trap", ("unreachable", "memory_bytes = 268,435,456", "--limit memory_bytes=")),
        (("large",), "limit_exceeded", ("memory_bytes = 268,435,456", "it asked for 327,680,000", "--limit memory_")),
    ],
)
@pytest.mark.usefixtures("still_works")
def test_a_call_that_fails_says_why_and_what_to_do(call, code, parts, door):
    door.call(*call).check_refused(code, *parts)


@pytest.mark.usefixtures("still_works")
def test_an_unknown_entry_point_is_answered_with_the_exports(door):
    door.call("add", "1", "2", entry="sub").check_refused(
        "entry_point_not_found", "has no entry point 'sub'", "It exports 'add'"
    )


@pytest.mark.parametrize(
    ("name", "limit", "parts"),
    [
        ("spin", "timeout_seconds=1", ("timeout_seconds = 1", "--limit timeout_seconds=", "around")),
        ("flood", "output_bytes=100000", ("output_bytes = 100,000", "--limit output_bytes=")),
    ],
)
@pytest.mark.usefixtures("still_works")
def test_a_guest_that_never_ends_is_ended_at_its_limit(name, limit, parts, door):
    door.call(name, limit=limit).check_refused("limit_exceeded", *parts)


def test_exit_code_three_is_a_result_through_every_door(shell, embedded_shell, notebook, curl, files):
    for kind, fixture in DOORS.values():
        each = kind(
            {"notebook": notebook, "curl": curl, "shell": shell, "embedded_shell": embedded_shell}[fixture], files
        )
        each.push("three", "three.wasm")
    for each in (shell, embedded_shell):
        answer = each("call", "three")
        assert (answer.status, answer.output, answer.error) == (3, "", "")
    assert "'three' ended with exit code 3" in notebook("%moc call three").output
    assert notebook("moc.call('three').exit_code").output == "3"
    notebook("moc.functions.three()").check_refused("guest_exit", "'three' ended with exit code 3", "Cell In[")
    answer = curl("POST", "functions/three/call", "--include")
    assert answer.status == 200
    assert "moc-exit-code: 3" in answer.output.lower()


# -- compilers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def c_compiler():
    """Build the C library first, where that was never done: it may take a minute."""
    compiler = compiler_for("c")
    if compiler.describe() is None:
        pytest.skip("no C compiler for WebAssembly is installed")
    compiler.compile('#include <stdio.h>\nint main(void) { puts(""); }', filename="warm.c")


@pytest.mark.usefixtures("c_compiler")
def test_c_that_does_not_compile_shows_the_compilers_words_and_the_line(shell, embedded_shell, notebook, curl):
    for each in (shell, embedded_shell):
        for words in (("push", "f", "bad.c"), ("compile", "bad.c"), ("run", "bad.c")):
            each(*words).check_refused("compile_failed", "bad.c:2:10: error: use of undeclared identifier 'answer'")
        each("call", "f").check_refused("function_not_found")
    notebook(f"%%moc c f\n{BAD_C}").check_refused("compile_failed", "cell:3:10: error: use of undeclared identifier")
    notebook("%moc push f bad.c").check_refused("compile_failed", "bad.c:2:10: error:")
    notebook("%moc call f").check_refused("function_not_found")
    assert "f() -> (i32)" in notebook(f"%%moc c f\n{GOOD_C}").output
    # The API takes modules: source text is told apart from a broken one.
    curl("PUT", "functions/f", body=BAD_C.encode()).check_refused("invalid_module", "a module begins with")


def test_a_missing_compiler_is_named_with_the_install_command(shell, embedded_shell, notebook):
    nowhere = {"PYTHONPATH": "nothing", "PATH": "nothing"}
    for each in (shell, embedded_shell):
        for words in (("push", "f", "good.c"), ("compile", "good.c"), ("run", "good.c")):
            each(*words, **nowhere).check_refused("missing_extra", "pip install 'my-own-cluster[c]'")
        doctor = each("doctor", **nowhere)
        assert "pip install 'my-own-cluster[c]'" in doctor.output
    assert (
        notebook(
            "import os, sys\npath, zig = os.environ['PATH'], sys.modules.pop('ziglang', None)\n"
            "os.environ['PATH'], sys.modules['ziglang'] = 'nothing', None"
        ).error
        == ""
    )
    notebook(f"%%moc c f\n{GOOD_C}").check_refused("missing_extra", "pip install 'my-own-cluster[c]'")
    notebook("%moc push f good.c").check_refused("missing_extra", "pip install 'my-own-cluster[c]'")
    assert notebook("os.environ['PATH'] = path; del sys.modules['ziglang']").error == ""
    assert notebook('%%moc wat one\n(module (func (export "one") (result i32) i32.const 1))').error == ""


# -- access and servers -----------------------------------------------------------------------------------------------


def test_without_the_right_token_every_door_stays_shut_and_says_where_the_token_is(
    server, shell, notebook, curl, tmp_path
):
    endpoint = server.endpoint
    advice = ("needs a valid token", "Authorization: Bearer", "`moc status`")

    for headers in ((), ("-H", "Authorization: Bearer wrong"), ("-H", "Authorization: Basic eDp5")):
        for method, path in (
            ("GET", "status"),
            ("PUT", "functions/f"),
            ("POST", "functions/add/call"),
            ("GET", "none"),
        ):
            answer = curl(method, path, *headers, authorized=False)
            answer.check_refused("unauthorized", *advice)
            assert answer.status == 401
            assert endpoint["token"] not in answer.error

    named = ("--url", endpoint["url"], "--ca-file", endpoint["ca_file"])
    elsewhere = {"MOC_STORAGE": str(tmp_path / "elsewhere")}
    for token in ((), ("--token", "wrong")):
        shell(*named, *token, "functions", **elsewhere).check_refused("unauthorized", *advice)
    assert shell(*named, "functions", MOC_TOKEN=endpoint["token"], **elsewhere).error == ""
    assert not (tmp_path / "elsewhere").exists()

    python = f"connect({endpoint['url']!r}, token='wrong', ca_file={endpoint['ca_file']!r}).status()"
    notebook(python).check_refused("unauthorized", *advice)
    known = f"import os\nos.environ['MOC_ENDPOINT_FILE'] = {str(server.storage / 'endpoint.json')!r}"
    assert notebook(known).error == ""
    notebook(f"%moc connect --token wrong {endpoint['url']}").check_refused("unauthorized", *advice)
    assert notebook("del os.environ['MOC_ENDPOINT_FILE']").error == ""
    assert notebook("print(moc.origin)").output.startswith("embedded on ")


def test_a_server_that_does_not_answer_is_named_and_nothing_else_is_opened(shell, notebook, tmp_path):
    nobody = "https://127.0.0.1:9"
    advice = (f"No moc server answers at {nobody}: the connection was refused", "`moc serve`", "MOC_URL")
    elsewhere = {"MOC_STORAGE": str(tmp_path / "elsewhere")}
    shell("--url", nobody, "functions", **elsewhere).check_refused("server_unreachable", *advice)
    shell("functions", MOC_URL=nobody, **elsewhere).check_refused("server_unreachable", *advice)
    assert not (tmp_path / "elsewhere").exists()
    notebook(f"%moc connect {nobody}").check_refused("server_unreachable", *advice)
    notebook(f"connect({nobody!r}).status()").check_refused("server_unreachable", *advice)
    notebook("%moc connect nonsense").check_refused("invalid_input", "'nonsense' is no address of a server")
    assert notebook("%moc functions").error == ""


def test_a_server_that_dies_during_a_call_is_told_and_the_next_one_is_found(shell_on, curl_at, tmp_path):
    running = start_server(tmp_path / "storage")
    try:
        shell, curl = shell_on(running.storage), curl_at(running)
        assert shell("push", "spin", "spin.wasm").error == ""
        with shell.started("call", "spin") as call:
            deadline = time.monotonic() + 60
            while json.loads(curl("GET", "status").output)["calls"]["running"] == 0:
                assert time.monotonic() < deadline
            running.kill()
            _, error = call.communicate(timeout=60)
    finally:
        running.kill()
    assert call.returncode == 1
    assert error.startswith(b"moc: error[connection_lost]: The connection to ")
    assert b"What the guest changed until then stays" in error
    assert b"Traceback" not in error
    again = start_server(running.storage)
    try:
        assert "spin" in shell("functions").output
    finally:
        again.kill()


def test_a_storage_that_another_process_owns_is_told_with_that_process(notebook, embedded_shell, tmp_path):
    # A kernel serves the storage that it has opened; this process, which has opened one by itself, serves nobody.
    served = notebook("print(moc.status()['storage']['path'])").output.strip()
    assert embedded_shell("functions", MOC_STORAGE=served).error == ""
    held = str(tmp_path / "held")
    advice = (f"is owned by process {os.getpid()}", "--storage or MOC_STORAGE")
    lines = [("functions",), ("serve", "--port", "0", "--jupyter-port", "0"), ("doctor",)]
    with Storage.open(tmp_path / "held"), ThreadPoolExecutor() as shells:
        # At the same time: each waits a while for its turn.
        answers = [shells.submit(embedded_shell, *words, MOC_STORAGE=held) for words in lines]
        notebook(f"connect(storage={held!r})").check_refused("storage_locked", *advice)
        functions, serve, doctor = (each.result() for each in answers)
    functions.check_refused("storage_locked", *advice)
    serve.check_refused("storage_locked", *advice)
    assert doctor.status == 1
    assert advice[0] in doctor.output
    assert notebook(f"print(connect(storage={str(tmp_path / 'held')!r}).kv.list())").output == "[]\n"
    assert notebook("%moc functions").error == ""


@pytest.mark.parametrize(
    ("storage", "code", "part"),
    [
        ("good.c", "not_a_storage", "it is not a directory"),
        (".", "not_a_storage", "it has no FORMAT.json, and it holds"),
        ("x" * 300, "storage_error", "File name too long"),
    ],
)
def test_what_cannot_be_a_storage_is_named_and_not_touched(storage, code, part, embedded_shell, notebook, files):
    before = sorted(each.name for each in files.iterdir())
    advice = (part, "--storage or MOC_STORAGE")
    embedded_shell("functions", MOC_STORAGE=storage).check_refused(code, *advice)
    embedded_shell("--storage", storage, "serve", "--port", "0", "--jupyter-port", "0").check_refused(code, *advice)
    notebook(f"connect(storage={storage!r})").check_refused(code, *advice)
    assert sorted(each.name for each in files.iterdir()) == before


# -- a full disk ------------------------------------------------------------------------------------------------------


FULL = ("The disk is full", "nothing of it is visible. Make room and try again.")


def test_on_a_full_disk_nothing_is_half_stored_and_room_makes_it_work_again(
    small_disk, shell_on, curl_at, notebook, files
):
    (files / "large").write_bytes(bytes(2 << 20))
    running = start_server(small_disk / "storage")
    try:
        shell, curl, endpoint = shell_on(running.storage), curl_at(running), running.endpoint
        connected = f"connect({endpoint['url']!r}, {endpoint['token']!r}, ca_file={endpoint['ca_file']!r})"
        assert shell("buffer", "put", "kept", "good.c").error == ""
        filler = fill(small_disk)
        shell("buffer", "put", "more", "large").check_refused("storage_full", *FULL)
        shell("buffer", "put", "kept", "large").check_refused("storage_full", *FULL)
        for path in ("buffers/more", "kv/more"):
            answer = curl("PUT", path, body=bytes(2 << 20))
            answer.check_refused("storage_full", *FULL)
            assert answer.status == 507
        notebook(f"{connected}.buffers['more'] = bytes(2 << 20)").check_refused("storage_full", *FULL)
        assert [each["name"] for each in json.loads(curl("GET", "buffers").output)["buffers"]] == ["kept"]
        assert json.loads(curl("GET", "kv").output)["keys"] == []
        assert shell("buffer", "get", "kept").output == GOOD_C
        filler.unlink()
        assert shell("buffer", "put", "more", "bad.c").error == ""
    finally:
        running.kill()

    # The same without a server.
    assert shell("buffer", "delete", "more").error == ""
    filler = fill(small_disk)
    shell("buffer", "put", "kept", "large").check_refused("storage_full", *FULL)
    opened = f"connect(storage={str(running.storage)!r})"
    assert notebook(f"full = {opened}").error == ""
    notebook("full.buffers['more'] = bytes(2 << 20)").check_refused("storage_full", *FULL)
    assert notebook("print(*full.buffers, full.buffers['kept'].text())").output == f"kept {GOOD_C}\n"
    filler.unlink()
    assert notebook("full.buffers['more'] = b'fits'\nfull.close()").error == ""
    assert shell("buffer", "get", "more").output == "fits"


def fill(directory):
    """Fill the disk to the last block."""
    filler = directory / "filler"
    with open(filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler

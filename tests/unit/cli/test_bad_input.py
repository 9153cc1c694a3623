"""Everything that can be wrong with what people bring: each gets one line that says what to do, and exit code 1."""

import json
import os
import sys

import pytest

from moc_server_ext.storage import Storage

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


@pytest.fixture
def moc(moc_inside):
    return moc_inside


@pytest.fixture
def refused(moc):
    """Run a command that must fail, and give its error's code and all of stderr."""

    def run(*words):
        done = moc(*words)
        text = done.stderr.decode()
        assert done.returncode == 1, text
        assert done.stdout == b""
        assert "Traceback" not in text
        first = text.splitlines()[0]
        assert first.startswith("moc: error[")
        return first.removeprefix("moc: error[").partition("]")[0], text

    return run


def pushed(moc, name, file, *options):
    done = moc("push", *options, name, file)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) == 65


def test_what_is_no_module_is_refused(refused, tmp_path):
    (tmp_path / "notes.wasm").write_bytes(b"hello")
    code, text = refused("push", "f", "notes.wasm")
    assert code == "invalid_module"
    assert "'f' is not a WebAssembly module" in text


def test_a_truncated_module_is_refused(refused, moc, wat, tmp_path):
    assert moc("compile", wat("add", ADD)).returncode == 0
    (tmp_path / "cut.wasm").write_bytes((tmp_path / "add.wasm").read_bytes()[:-5])
    assert refused("push", "f", "cut.wasm")[0] == "invalid_module"
    assert refused("run", "cut.wasm")[0] == "invalid_module"


def test_an_import_that_nothing_provides_is_named(refused, wat):
    file = wat("lost", '(module (import "env" "rand" (func)) (func (export "f")))')
    for words in (("push", "f", file), ("run", file)):
        code, text = refused(*words)
        assert code == "missing_import"
        assert "`env.rand`" in text
        assert "core" in text


def test_an_unknown_function_is_answered_with_the_nearest(refused, moc, wat):
    pushed(moc, "uppercase", wat("add", ADD))
    code, text = refused("call", "upercase")
    assert code == "function_not_found"
    assert "Did you mean 'uppercase'?" in text


def test_an_unknown_entry_point_is_answered_with_the_exports(refused, moc, wat):
    pushed(moc, "math", wat("add", ADD))
    code, text = refused("call", "--entry", "sub", "math", "1", "2")
    assert code == "entry_point_not_found"
    assert "It exports 'add'" in text


@pytest.mark.parametrize("arguments", [("1",), ("1", "2", "3"), ("1", "two")])
def test_wrong_arguments_are_told_with_the_right_ones(arguments, refused, moc, wat):
    pushed(moc, "add", wat("add", ADD))
    code, text = refused("call", "add", *arguments)
    assert code == "invalid_arguments"
    assert "(i32, i32)" in text


def test_a_trap_shows_once_what_the_guest_wrote_and_then_its_frames(moc, posix):
    pushed(moc, "trap", posix("trap", "(call $put (i32.const 2) (i32.const 1024) (i32.const 8)) unreachable"))
    done = moc("call", "trap")
    assert done.returncode == 1
    wrote, message, *more = done.stderr.decode().splitlines()
    assert wrote == "careful"
    assert message.startswith("moc: error[guest_trap]: ")
    assert more[0] == "  guest backtrace (innermost first):"
    assert "careful" not in "".join(more)


def test_an_exit_code_is_passed_on_and_is_no_error(moc, posix):
    pushed(moc, "three", posix("three", "(call $exit (i32.const 3))"))
    done = moc("call", "three")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")
    assert json.loads(moc("--json", "call", "three").stdout)["exit_code"] == 3
    assert moc("run", "three.wat").returncode == 3


def test_an_endless_loop_ends_at_its_limit(refused, moc, wat):
    file = wat("loop", '(module (func (export "loop") (loop (br 0))))')
    pushed(moc, "loop", file)
    for words in (("call", "--limit", "timeout_seconds=0.2", "loop"), ("run", "--limit", "timeout_seconds=0.2", file)):
        code, text = refused(*words)
        assert code == "limit_exceeded"
        assert "timeout_seconds = 0.2" in text
        assert f"`moc {'run' if words[0] == 'run' else 'push'} --limit" in text


def test_a_memory_bomb_meets_its_limit(refused, moc, wat):
    file = wat("bomb", '(module (memory (export "memory") 5000) (func (export "bomb")))')
    code, text = refused("run", file)
    assert code == "limit_exceeded"
    assert "memory_bytes" in text
    assert moc("run", "--limit", "memory_bytes=1GiB", file).returncode == 0


def test_an_output_bomb_meets_its_limit(moc, posix):
    body = "(loop (call $put (i32.const 1) (i32.const 0) (i32.const 65536)) (br 0))"
    pushed(moc, "flood", posix("flood", body))
    done = moc("call", "--limit", "output_bytes=1MiB", "flood")
    assert done.returncode == 1
    assert len(done.stdout) == 1 << 20
    assert done.stderr.startswith(b"moc: error[limit_exceeded]: ")
    assert b"output_bytes = 1,048,576" in done.stderr


def test_wat_that_does_not_compile_shows_where(refused, wat):
    code, text = refused("compile", wat("bad", "(module\n  (func (export)))"))
    assert code == "compile_failed"
    assert "bad.wat:2" in text


def test_c_that_does_not_compile_shows_the_compilers_words(refused, tmp_path):
    from moc_server_ext.compilers import compiler_for

    if compiler_for("c").describe() is None:
        pytest.skip("no C compiler is installed")
    (tmp_path / "bad.c").write_text("int f(void) {\n  return answer;\n}\n")
    code, text = refused("push", "f", "bad.c")
    assert code == "compile_failed"
    assert "bad.c:2:10: error:" in text


def test_a_missing_compiler_is_named_with_its_install_command(refused, tmp_path, monkeypatch):
    (tmp_path / "f.c").write_text("int f(void) { return 1; }\n")
    monkeypatch.setitem(sys.modules, "ziglang", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = refused("compile", "f.c")
    assert code == "missing_extra"
    assert "pip install 'my-own-cluster[c]'" in text


def test_an_unknown_language_is_told_with_the_known_ones(refused, tmp_path):
    (tmp_path / "f.cobol").write_text("")
    code, text = refused("compile", "f.cobol")
    assert code == "unknown_language"
    assert ".wat" in text


def test_a_file_that_is_not_there_is_named(refused):
    code, text = refused("push", "f", "nowhere.wasm")
    assert code == "invalid_input"
    assert "'nowhere.wasm' cannot be read: No such file" in text


def test_a_storage_that_another_process_owns_is_told_with_its_owner(refused, tmp_path):
    with Storage.open(tmp_path / "storage"):
        code, text = refused("status")
    assert code == "storage_locked"
    assert "--storage" in text
    assert str(os.getpid()) in text or "another process" in text


def test_a_server_that_does_not_answer_is_named(refused):
    code, text = refused("--url", "http://127.0.0.1:9", "--token", "t", "functions")
    assert code == "server_unreachable"
    assert "http://127.0.0.1:9" in text
    assert "moc serve" in text


def test_a_missing_source_of_a_plan_is_named(refused, moc, wat):
    pushed(moc, "m", wat("add", ADD))
    assert refused("mapreduce", "nothing", "--map", "m")[0] == "buffer_not_found"

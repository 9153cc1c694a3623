"""The verbs from end to end, on an embedded storage that the next command opens again."""

import json
import os
import signal
import subprocess

import pytest

from array_guests import array_function
from support import ROOT
from web import answer, web_server

ECHO = """
  (local $length i32)
  (loop $more
    (local.set $length (call $get))
    (call $put (i32.const 1) (i32.const 2048) (local.get $length))
    (br_if $more (local.get $length)))
  (call $put (i32.const 2) (i32.const 1024) (i32.const 8))
"""
ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
BINARY = bytes(range(256))
# Ctrl-C is pressed a moment after the engine began to run the guest.
INTERRUPTED_CALL = """
import os, signal, sys, threading
from moc_server_ext.cli.main import main
from moc_server_ext.engines.wasm import WasmEngine

run = WasmEngine.run

def begin(*given):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    return run(*given)

WasmEngine.run = begin
sys.exit(main(["call", "loop"]))
"""


def test_what_is_pushed_is_called_by_the_next_command(moc, posix):
    blob_id = moc("push", "echo", posix("echo", ECHO)).stdout.decode().strip()
    for name in ("echo", blob_id):
        done = moc("call", "--input-file", "-", name, input=BINARY)
        assert (done.returncode, done.stdout, done.stderr) == (0, BINARY, b"careful\n")
    assert moc("call", "--input", "hello", "echo").stdout == b"hello"
    assert moc("call", "echo", input=b"not read").stdout == b""
    assert b"echo" in moc("functions").stdout
    assert moc("function", "delete", "echo").returncode == 0
    assert moc("call", "echo").returncode == 1
    assert moc("call", blob_id).returncode == 0


def test_a_direct_call_prints_its_number(moc, wat):
    moc("push", "add", wat("add", ADD))
    assert moc("call", "add", "-2", "44").stdout == b"42\n"
    assert moc("run", "add.wat", "-2", "44").stdout == b"42\n"
    assert json.loads(moc("call", "--json", "add", "1", "2").stdout)["result"] == 3


def test_a_log_grows_from_command_to_command_until_it_is_sealed(moc, tmp_path):
    (tmp_path / "day.csv").write_bytes(BINARY * 1000)
    assert moc("buffer", "append", "days", "day.csv").returncode == 0
    appended = moc("buffer", "append", "--json", "days", "-", input=BINARY)
    assert json.loads(appended.stdout) == {"name": "days", "size": 256_256}
    [log] = json.loads(moc("buffer", "logs", "--json").stdout)["logs"]
    assert (log["name"], log["size"], log["parts"], log["content_type"]) == ("days", 256_256, 2, "text/csv")
    assert moc("buffer", "seal", "days").returncode == 0
    assert moc("buffer", "get", "days").stdout == BINARY * 1001
    assert b"error[log_not_found]" in moc("buffer", "abandon", "days").stderr
    assert moc("buffer", "append", "--seal", "days", "-", input=b"new").returncode == 0


def test_buffers_are_copied_and_renamed(moc):
    moc("buffer", "put", "a", "-", input=BINARY)
    assert moc("buffer", "copy", "a", "b").returncode == 0
    assert b"error[conflict]" in moc("buffer", "rename", "a", "b").stderr
    assert moc("buffer", "rename", "--overwrite", "a", "b").returncode == 0
    assert moc("buffer", "get", "b").stdout == BINARY


def test_buffers_and_values_outlive_the_command(moc, tmp_path):
    (tmp_path / "data.bin").write_bytes(BINARY * 1000)
    assert moc("buffer", "put", "data", "data.bin").returncode == 0
    assert moc("buffer", "get", "data").stdout == BINARY * 1000
    assert moc("buffer", "get", "data", "--range", "254:258").stdout == b"\xfe\xff\x00\x01"
    assert moc("buffer", "get", "data", "--output-file", "copy.bin").stdout == b""
    assert (tmp_path / "copy.bin").read_bytes() == BINARY * 1000
    assert json.loads(moc("buffers", "--json").stdout)["buffers"][0]["size"] == 256_000
    assert moc("kv", "set", "picture", "-", input=BINARY).stdout == b""
    assert moc("kv", "get", "picture").stdout == BINARY
    assert moc("kv", "list").stdout == b"picture\n"
    assert moc("kv", "delete", "picture").returncode == 0
    assert moc("kv", "get", "picture").returncode == 1


def test_mapreduce_writes_its_output_or_stores_it(moc, posix, tmp_path):
    (tmp_path / "pairs").write_bytes(b"b\t1\na\t2\nb\t0\n")
    moc("buffer", "put", "pairs", "pairs")
    moc("push", "same", posix("same", ECHO))
    assert moc("mapreduce", "pairs", "--map", "same", "--partitions", "2").stdout == b"a\t2\nb\t1\nb\t0\n"
    assert b"stored buffer 'sorted'" in moc("mapreduce", "pairs", "--map", "same", "-o", "sorted").stdout
    assert moc("buffer", "get", "sorted").stdout == b"a\t2\nb\t1\nb\t0\n"


def test_status_and_doctor_tell_what_there_is(moc, environment):
    facts = json.loads(moc("status", "--json").stdout)
    assert facts["origin"] == f"embedded on {environment['MOC_STORAGE']}"
    assert os.stat(facts["token_file"]).st_mode & 0o777 == 0o600
    checked = moc("doctor", "--json")
    checks = {each["subject"]: each for each in json.loads(checked.stdout)["checks"]}
    assert checked.returncode == 0
    for subject in ("python", "engine", "compiler wat", "platform", "storage", "isolation"):
        assert checks[subject]["state"] == "ok"


def test_doctor_ends_with_1_when_something_is_broken(moc, tmp_path):
    (tmp_path / "file").write_text("")
    done = moc("doctor", "--storage", str(tmp_path / "file"))
    assert done.returncode == 1
    assert b"fault" in done.stdout


# -- run --------------------------------------------------------------------------------------------------------------


def test_run_needs_no_storage_and_leaves_none(moc, posix, environment):
    done = moc("run", posix("echo", ECHO), input=BINARY)
    assert (done.returncode, done.stdout, done.stderr) == (0, BINARY, b"careful\n")
    assert not os.path.exists(environment["MOC_STORAGE"])


def test_run_and_call_take_an_array_from_a_file_or_from_stdin(moc, tmp_path):
    (tmp_path / "same.wasm").write_bytes(array_function())
    (tmp_path / "in.raw").write_bytes(BINARY[:24])
    array = ("--dtype", "float32", "--shape", "2,3")
    moc("push", "same", "same.wasm")
    for verb in (("call", *array, "--input-file"), ("run", *array, "--input-file")):
        name = "same" if verb[0] == "call" else "same.wasm"
        assert moc(*verb, "in.raw", name).stdout == BINARY[:24]
        assert moc(*verb, "-", name, input=BINARY[:24]).stdout == BINARY[:24]
    body = json.loads(moc("--json", "run", *array, "--input-file", "in.raw", "same.wasm").stdout)
    assert body["output_headers"] == {"moc-dtype": "float32", "moc-shape": "[2,3]"}
    refused = moc("run", "same.wasm")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"moc: error[array_required]: 'same' of function 'same' takes an array" in refused.stderr


def test_run_takes_input_from_a_file_and_gives_json(moc, posix, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"from a file")
    file = posix("echo", ECHO)
    assert moc("run", "--input-file", "in.txt", file).stdout == b"from a file"
    body = json.loads(moc("--json", "run", "--input-file", "in.txt", file).stdout)
    assert (body["exit_code"], body["stderr"]) == (0, "careful\n")


def test_output_of_run_leaves_as_it_is_written(command, environment, posix, tmp_path):
    file = posix("loop", "(call $put (i32.const 1) (i32.const 1024) (i32.const 8)) (loop (br 0))")
    process = subprocess.Popen(
        [*command, "run", file], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"careful\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b"moc: interrupted\n"


@pytest.mark.parametrize("words", [("run", "flood.wat"), ("call", "flood")])
def test_a_reader_that_goes_away_ends_the_guest_quietly(words, command, environment, posix, moc, tmp_path):
    body = "(local i32) (loop (call $put (i32.const 1) (i32.const 1024) (i32.const 8))"
    body += "(br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 200000))))"
    moc("push", "flood", posix("flood", body))
    process = subprocess.Popen(
        [*command, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"careful\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_ctrl_c_cancels_a_call(command, environment, moc, posix, tmp_path):
    moc("push", "loop", posix("loop", "(loop (br 0))"))
    done = subprocess.run(
        [command[0], "-c", INTERRUPTED_CALL], env=environment, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"moc: interrupted\n")


def test_run_lets_a_file_reach_the_hosts_that_it_was_allowed_and_no_other(moc_inside):
    sample = str(ROOT / "samples" / "c" / "http-request" / "http-request.wasm")
    with web_server() as web:
        web.answers["/"] = answer(b"hello from afar")
        done = moc_inside("run", "--allow-host", web.host, sample, web.url())
        assert (done.returncode, done.stdout) == (0, b"hello from afar")
        refused = moc_inside("run", "--allow-host", "example.com", sample, web.url())
        assert refused.returncode == 1
        assert f"moc run --allow-host {web.host}".encode() in refused.stderr
        assert web.connections == 1
    assert moc_inside("run", "--allow-host", "0x7f.1", sample).returncode == 2

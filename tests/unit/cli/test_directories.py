"""``--dir`` of ``moc run`` and ``moc call``."""

from __future__ import annotations

import json

import pytest

from mounted import ENOENT, FILE, READER_TEXT


@pytest.fixture(autouse=True)
def _data(tmp_path, wat):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_bytes(b"from the host")
    wat("reader", READER_TEXT)


def test_run_gives_a_guest_a_directory_and_passes_everything_through(moc):
    done = moc("run", "--dir", "data::/", "reader.wat")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"from the host", b"")
    assert moc("run", "--dir", "data::/:ro", "--env", "A=B", "reader.wat", "--dir", "x").stdout == b"from the host"
    done = moc("run", "--dir", "data::/elsewhere", "reader.wat")
    assert (done.returncode, done.stdout, done.stderr) == (ENOENT, b"", b"")


def test_call_gives_it_where_the_storage_is_open_in_this_process(moc_inside):
    moc_inside("push", "reader", "reader.wat")
    done = moc_inside("call", "--dir", "data::/", "reader")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"from the host", b"")
    assert moc_inside("call", "reader").returncode == ENOENT


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["none::/"], 1, b"No such file or directory"),
        (["reader.wat::/"], 1, b"Not a directory"),
        (["data"], 2, b"expected HOST::GUEST"),
        (["data::../x"], 2, b"has no '..' in it"),
        (["data::/x", ".::/x/"], 2, b"Two directories are to be mounted as '/x'"),
    ],
)
def test_what_cannot_be_mounted_is_said_in_one_line_before_anything_is_compiled(
    moc_inside, tmp_path, given, code, says
):
    (tmp_path / "broken.wat").write_text("(module (this does not compile")
    done = moc_inside("run", *(word for each in given for word in ("--dir", each)), "broken.wat")
    assert done.returncode == code
    assert done.stdout == b""
    assert says in done.stderr
    assert done.stderr.startswith(b"moc: error[")
    assert done.stderr.count(b"\n") == 1


def test_a_direct_call_gets_no_directory(moc_inside, wat):
    wat("one", '(module (func (export "one") (result i32) (i32.const 1)))')
    done = moc_inside("run", "--dir", "data::/", "one.wat")
    assert done.returncode == 1
    assert b"A direct call has no files" in done.stderr


def test_a_missing_directory_is_an_error_in_json_too(moc_inside):
    body = json.loads(moc_inside("run", "--json", "--dir", "none::/", "reader.wat").stderr)
    assert body["error"]["code"] == "invalid_input"
    assert body["error"]["details"]["guest"] == "/"

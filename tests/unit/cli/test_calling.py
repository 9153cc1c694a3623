"""``moc call`` while it runs: output and input in parts, the file that takes the output, Ctrl-C; both doors."""

from __future__ import annotations

import os
import signal
import stat
import subprocess

import pytest

from guests import guest
from moc_server_ext.cli.calling import ReplacedFile
from moc_server_ext.client import connect
from moc_server_ext.errors import InvalidInputError
from support import start_server


@pytest.fixture(params=["embedded", "server"])
def door(request, tmp_path):
    """Register the guests, and start a server on one of the doors."""
    storage = tmp_path / "storage"
    with connect(storage=storage) as moc:
        for name in ("cat", "pause", "pant", "complain", "flood"):
            moc.functions.put(name, guest(name))
    server = start_server(storage) if request.param == "server" else None
    yield request.param
    if server is not None:
        server.kill()


@pytest.fixture
def popen(command, environment, tmp_path):
    """Start a command line."""
    started = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*command, *words], cwd=tmp_path, env=environment, **pipes))
        return started[-1]

    yield start
    for each in started:
        with each:
            each.kill()


def test_output_comes_before_the_input_has_ended(door, popen):
    process = popen("call", "--input-file", "-", "cat")
    for line in (b"first\n", b"second\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.stdin.close()
    assert process.stdout.read() == b""
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize("name", ["pause", "pant"])
def test_ctrl_c_ends_a_guest_that_waits_and_one_that_computes(name, door, popen):
    process = popen("call", "--input", "begun\n", name)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read().splitlines()[-1] == b"moc: interrupted"


def test_stderr_comes_as_it_is_written_and_exactly(door, moc, tmp_path):
    (tmp_path / "in").write_bytes(b"not \xff text")
    done = moc("call", "--input-file", "in", "complain")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"not \xff text")


def test_an_output_file_is_complete_or_as_it_was(door, moc, tmp_path):
    (tmp_path / "in").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "out").write_bytes(b"before")
    failed = moc("call", "--limit", "output_bytes=1MiB", "--output-file", "out", "flood")
    assert failed.stderr.startswith(b"moc: error[limit_exceeded]")
    assert (tmp_path / "out").read_bytes() == b"before"
    assert moc("call", "--input-file", "in", "--output-file", "out", "cat").stdout == b""
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) * 4000
    assert not [each for each in os.listdir(tmp_path) if each.endswith(".part")]


def test_a_large_copy_needs_little_memory(door, command, environment, tmp_path):
    (tmp_path / "small").write_bytes(b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(192 << 20)

    def peak_bytes(name: str) -> int:
        words = [*command, "call", "--input-file", name, "--output-file", "copy", "cat"]
        process = subprocess.Popen(words, cwd=tmp_path, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss << 10

    small = peak_bytes("small")
    large = peak_bytes("large")
    assert (tmp_path / "copy").stat().st_size == 192 << 20
    assert large - small < 64 << 20


def test_a_reader_that_goes_away_ends_the_call(door, popen):
    process = popen("call", "flood")
    assert process.stdout.read(8) == bytes(8)
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""


def test_an_input_that_cannot_be_read_is_told(door, moc, tmp_path):
    (tmp_path / "directory").mkdir()
    for name in ("nowhere", "directory"):
        done = moc("call", "--input-file", name, "cat")
        assert done.stderr.startswith(f"moc: error[invalid_input]: {name!r} cannot be read: ".encode())


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_keeps_its_mode_and_its_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.symlink_to(target)
    with ReplacedFile(str(link)) as file:
        file.write(b"af")
        file.write(b"ter")
        assert target.read_bytes() == b"before"
        file.commit()
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_device_is_written_and_not_replaced():
    with ReplacedFile("/dev/null") as file:
        file.write(b"away")
        file.commit()
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("path", ["", "no/such/directory", "/", "nul\0"])
def test_a_path_that_takes_no_file_is_told(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="cannot be written"), ReplacedFile(path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing(small_disk):
    with ReplacedFile(str(small_disk / "out")) as file, pytest.raises(InvalidInputError, match="No space left"):
        file.write(bytes(8 << 20))
    assert os.listdir(small_disk) == []

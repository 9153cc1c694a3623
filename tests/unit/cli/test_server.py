"""The same verbs when a server owns the storage: found by its storage, or named with --url."""

import json
import signal
import subprocess

import pytest

from support import check_in_the_end

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


@pytest.fixture
def server(command, environment, tmp_path):
    """Start a server on free ports and give what it wrote into ``endpoint.json``."""
    words = ["serve", "--port", "0", "--jupyter-port", "0"]
    process = subprocess.Popen([*command, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    with process:
        try:
            assert b"running" in process.stdout.readline()
            yield json.loads((tmp_path / "storage" / "endpoint.json").read_text())
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()


def test_verbs_reach_the_server_that_owns_the_storage(server, moc, wat):
    assert json.loads(moc("status", "--json").stdout)["origin"] == f"server {server['url']}"
    assert moc("push", "add", wat("add", ADD)).returncode == 0
    assert moc("call", "add", "40", "2").stdout == b"42\n"
    trap = moc("call", "add", "40")
    assert trap.stderr.startswith(b"moc: error[invalid_arguments]: 'add' of function 'add' takes 2 arguments")
    assert moc("doctor").returncode == 0

    # Named by its address, as another machine would.
    named = ("--url", server["url"], "--ca-file", server["ca_file"])
    elsewhere = {"MOC_STORAGE": "/nowhere"}
    assert moc(*named, "call", "add", "1", "2", MOC_TOKEN=server["token"], **elsewhere).stdout == b"3\n"
    for token in ("wrong", ""):
        refused = moc(*named, "--token", token, "call", "add", "1", "2", **elsewhere)
        assert refused.returncode == 1
        assert refused.stderr.startswith(b"moc: error[unauthorized]: ")
        assert server["token"].encode() not in refused.stderr


def test_a_server_whose_reader_went_away_can_still_be_ended(command, environment, tmp_path):
    words = ["serve", "--port", "0", "--jupyter-port", "0"]
    with subprocess.Popen(
        [*command, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert b"running" in process.stdout.readline()
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_a_shell_completes_names_of_the_server_that_it_reads_as_themselves(server, moc, wat):
    moc("push", "add", wat("add", ADD))
    for name in ("books", "two words", "$(reboot)"):
        assert moc("buffer", "put", name, "-").returncode == 0

    def offered(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        done = moc(_MOC_COMPLETE="bash_complete", **words)
        assert done.stderr == b""
        return done.stdout.decode().split()

    check_in_the_end(lambda: offered("moc call "), ["plain,add"])
    check_in_the_end(lambda: offered("moc call --entry "), ["plain,add"])
    check_in_the_end(lambda: offered("moc buffer get "), ["plain,books"])
    assert offered("moc --storage /nowhere buffer get ") == []
    assert offered("moc push add a") == ["file,a"]

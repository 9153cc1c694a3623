"""The command as a whole: help, versions, errors, exit codes, what is loaded."""

import json
import os
import shlex
import subprocess
import sys

import click
import pytest

from moc_server_ext.cli import main as cli
from moc_server_ext.cli.host import TerminalHost
from moc_server_ext.cli.settings import read_token
from moc_server_ext.errors import InvalidInputError


def test_without_arguments_the_verbs_are_shown(moc):
    shown = moc()
    assert shown.returncode == 0
    assert shown.stdout.startswith(b"Usage: moc ")
    for verb in (b"serve", b"run", b"push", b"call", b"kv", b"mapreduce", b"doctor", b"_MOC_COMPLETE=bash_source"):
        assert verb in shown.stdout


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_is_that_of_the_distribution(flag, moc):
    from importlib.metadata import version

    assert moc(flag).stdout.decode() == f"moc {version('my-own-cluster')}\n"
    assert json.loads(moc("--json", flag).stdout) == {"version": version("my-own-cluster")}


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from moc_server_ext.cli.main import main; main(['call', '-h']);"
        "heavy = {'httpx', 'rich', 'wasmtime', 'tornado', 'apsw', 'jupyter_server', 'numpy', 'IPython'};"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_completion_offers_the_verbs(moc):
    offered = moc(_MOC_COMPLETE="bash_complete", COMP_WORDS="moc ma", COMP_CWORD="1")
    assert offered.stdout == b"plain,mapreduce\n"


def test_completion_opens_no_storage(moc, tmp_path):
    offered = moc(_MOC_COMPLETE="bash_complete", COMP_WORDS="moc call ", COMP_CWORD="2")
    assert (offered.stdout.strip(), offered.stderr) == (b"", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("clal",),
            "moc: error[usage]: moc has no verb 'clal'. Did you mean 'call' or 'calls'? "
            "`moc -h` shows how it is used.\n",
        ),
        (
            ("kv", "list", "--jsn"),
            "moc: error[usage]: moc kv list has no option '--jsn'. Did you mean '--json'? "
            "`moc kv list -h` shows how it is used.\n",
        ),
        (
            ("compile", "f.c", "-o"),
            "moc: error[usage]: Option '-o' requires an argument. `moc compile -h` shows how it is used.\n",
        ),
        (
            ("buffer", "put", "--content-type", "no type", "b", "f"),
            "moc: error[usage]: Invalid value for '--content-type': Content type 'no type' is no media type; "
            "expected TYPE/SUBTYPE. `moc buffer put -h` shows how it is used.\n",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words, message, moc):
    done = moc(*words)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", message)


def test_with_json_an_error_is_json_on_stderr(moc):
    done = moc("--json", "function", "show", "nothing")
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, done.stdout, error["code"]) == (1, b"", "function_not_found")
    assert error["details"]["name"] == "nothing"


def test_global_options_stand_before_or_after_the_verb(moc, tmp_path):
    other = str(tmp_path / "other")
    assert moc("kv", "set", "key", "value", "--storage", other).returncode == 0
    assert moc("--storage", other, "kv", "get", "key").stdout == b"value"
    assert moc("kv", "--storage", other, "get", "key").stdout == b"value"
    assert moc("kv", "get", "key").returncode == 1


def test_a_fault_in_moc_is_one_line_that_tells_how_to_see_more(monkeypatch, capfdbinary):
    def broken(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "invoke", broken)
    monkeypatch.delenv("MOC_DEBUG", raising=False)
    assert cli.main(["status"]) == 1
    assert capfdbinary.readouterr().err == (
        b"moc: error[internal]: ZeroDivisionError: by zero. This is a fault in moc: MOC_DEBUG=1 shows its traceback.\n"
    )
    monkeypatch.setenv("MOC_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["status"])


def test_an_interrupt_is_one_line_and_exit_code_130(monkeypatch, capfdbinary):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "invoke", interrupted)
    assert cli.main(["status"]) == 130
    assert capfdbinary.readouterr() == (b"", b"moc: interrupted\n")


def test_an_interrupt_before_the_verbs_are_imported_is_one_line_too():
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from moc_server_ext.cli.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"moc: interrupted\n")


def test_a_reader_that_goes_away_is_no_error(command, environment, moc, tmp_path):
    (tmp_path / "big").write_bytes(b"line\n" * 1_000_000)
    assert moc("buffer", "put", "big", "big").returncode == 0
    process = subprocess.Popen(
        [*command, "buffer", "get", "big"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    with process:
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_stdout_that_takes_nothing_is_named(command, environment, tmp_path):
    for words in (["status"], ["--json", "status"], ["-h"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*command, *words], env=environment, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE
            )
        assert done.returncode == 1
        assert b"Standard output cannot be written: No space left on device." in done.stderr
        assert b"ignored" not in done.stderr


def test_a_closed_stdout_is_named(command, environment, tmp_path):
    for words in ("status", "run nothing.wasm"):
        line = f"exec {shlex.join(command)} {words} >&-"
        done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert done.stderr.startswith(b"moc: error[invalid_input]: ")
        assert b"fault in moc" not in done.stderr


@pytest.mark.parametrize("content", ["secret", "secret\n", "Authorization: Bearer secret\n"])
def test_a_token_is_read_from_a_file(content, tmp_path):
    (tmp_path / "token").write_text(content)
    assert read_token(f"@{tmp_path / 'token'}") == "secret"
    assert read_token("plain") == "plain"


def test_a_token_file_that_holds_none_is_refused(tmp_path, moc):
    (tmp_path / "empty").write_text("")
    with pytest.raises(InvalidInputError, match="holds no token"):
        read_token(f"@{tmp_path / 'empty'}")
    done = moc("--token", "@missing", "status")
    assert done.returncode == 2
    assert b"'missing' cannot be read" in done.stderr


@pytest.mark.parametrize("name", ["serve", "run"])
def test_verbs_with_a_process_of_their_own_have_examples_that_parse(name):
    verb = cli.build_cli().commands[name]
    assert verb.example
    for line in verb.example:
        words = shlex.split(line)
        assert words[:2] == ["moc", name]
        verb.make_context(name, words[2:], obj=TerminalHost())


def test_every_level_takes_the_global_options():
    def commands(group):
        for command in group.commands.values():
            yield command
            if isinstance(command, click.Group):
                yield from commands(command)

    expected = {"--storage", "--url", "--token", "--ca-file", "--json"}
    for command in (cli.build_cli(), *commands(cli.build_cli())):
        names = [name for each in command.params for name in each.opts]
        assert expected <= set(names)
        assert len(names) == len(set(names))

"""The examples in the reference run, and give what the comments beside them say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import numpy
import pytest

from moc_server_ext import compilers
from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest, Declaration, Grants
from support import clean_environment, register_samples


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def example(text: str, language: str, word: str) -> str:
    """Give the one block of a language that has a word in it."""
    (found,) = (block for block in blocks(text, language) if word in block)
    return found


def checked(block: str) -> str:
    """Turn ``expression   # value`` into an assertion."""
    lines = []
    for line in block.splitlines():
        expression, hash_, value = line.partition("  #")
        if hash_:
            ast.literal_eval(value.strip())
            line = f"assert ({expression.strip()}) == {value.strip()}, {expression.strip()!r}"
        lines.append(line)
    return "\n".join(lines)


def test_the_python_examples_run(page, tmp_path):
    register_samples(tmp_path / "directory")
    (tmp_path / "books.txt").write_text("to be or not to be\n")
    examples = [checked(block) for block in blocks(page("reference/python.md").text, "python")]
    assert len(examples) == 4
    assert "assert" in examples[0]
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example],
            cwd=tmp_path,
            env=clean_environment(MOC_STORAGE=str(tmp_path / "directory")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{example}\n{done.stderr}"


def c_example(page, part):
    (source,) = (each for each in blocks(page("reference/guests.md").text, "c") if part in each)
    return source


@pytest.mark.timeout(400)
def test_the_c_example_compiles_and_greets(page, tmp_path):
    source = c_example(page, "int greet(")
    module = compilers.compiler_for("c").compile(source, filename="greet.c", flags=["-Wall", "-Werror"])
    assert module.diagnostics == ""
    with Cluster.open(tmp_path / "storage") as cluster:
        cluster.functions.put("greet", module.content)
        result = cluster.call_sync(CallRequest("greet"))
    assert result.output == b"hello\n"
    assert result.result == len(result.output)


@pytest.mark.timeout(400)
def test_the_c_example_of_an_array_function_compiles_and_scales(page, tmp_path):
    source = c_example(page, "MOC_CHUNK(scale)")
    module = compilers.compiler_for("c").compile(source, filename="scale.c", flags=["-Wall", "-Werror"])
    array = numpy.arange(6, dtype="float32").reshape(2, 3)
    headers = {"moc-dtype": "float32", "moc-shape": "[2,3]"}
    with Cluster.open(tmp_path / "storage") as cluster:
        cluster.functions.put("scale", module.content)
        result = cluster.call_sync(CallRequest("scale", ("2.5",), input=array.tobytes(), input_headers=headers))
    assert result.to_numpy().tolist() == (array * 2.5).tolist()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["c", "wat"])
def test_the_examples_of_an_import_from_a_function_call_it(page, tmp_path, language):
    source = example(page("reference/guests.md").text, language, "maths")
    flags = ["-Wall", "-Werror"] if language == "c" else []
    module = compilers.compiler_for(language).compile(source, filename=f"calc.{language}", flags=flags)
    add = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
    with Cluster.open(tmp_path / "storage") as cluster:
        cluster.functions.put("maths", compilers.compiler_for("wat").compile(add, filename="maths.wat").content)
        cluster.functions.put("calc", module.content, Declaration(grants=Grants(frozenset({"call:maths"}))))
        assert cluster.call_sync(CallRequest("calc", ("14",))).result == 42


def test_the_c_example_of_a_reusable_function_compiles_and_stays_warm(page, tmp_path):
    source = c_example(page, "moc_reset(void)")
    module = compilers.compiler_for("c").compile(source, filename="square.c", flags=["-Wall", "-Werror"])
    with Cluster.open(tmp_path / "storage") as cluster:
        cluster.functions.put("anything", module.content, Declaration(reusable=True))
        assert [cluster.call_sync(CallRequest("anything", (text,))).result for text in ("12", "999", "-1")] == [
            144, 998001, -1
        ]  # fmt: skip
        assert cluster.status()["warm"]["instances"] == 1


def test_the_curl_examples_work(page, moc_server):
    """Each `curl` command of the web API's page, with the server's own directory and port in it."""
    examples = [line for block in re.findall(r"^```\n(curl .*?)^```$", page("reference/http.md").text, re.M | re.S)
                for line in block.splitlines()]  # fmt: skip
    assert len(examples) == 7
    access = f"--cacert {moc_server.storage}/tls/cert.pem -H @{moc_server.storage}/authorization.header"
    (moc_server.storage.parent / "text").write_text("hello")
    (moc_server.storage.parent / "x").write_text("a\t1\n")
    (moc_server.storage.parent / "y").write_text("a\t2\n")
    (moc_server.storage.parent / "cube.f4").write_bytes(bytes(4 * 12 * 18 * 36))
    (moc_server.storage.parent / "monday.csv").write_text("1\n")
    (moc_server.storage.parent / "tuesday.csv").write_text("22\n")
    answers = ['"instance_id"', "HELLO", "a\t1\t2", '"float32"', '"size": 2', '"size": 5', '"text/csv"']
    for example, expected in zip(examples, answers, strict=True):
        command = example.replace("DIR", str(moc_server.storage)).replace("…", access)
        command = command.replace(":8443", f":{moc_server.gateway_port}").replace("curl", "curl -sS --fail", 1)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=moc_server.storage.parent,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert expected in done.stdout, f"{command}\n{done.stderr}"

"""The shipped modules are what the shipped sources give, and the three lists of them agree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from moc_server_ext.compilers import compiler_for
from moc_server_ext.compilers.c import CCompiler

pytestmark = pytest.mark.timeout(400)  # the first one builds the C library

NAMES = ("uppercase", "cowsay", "api-demo", "api-buffers", "api-tour", "call-uppercase",
         "http-request", "wordcount-map", "wordcount-reduce", "join", "blur", "mean", "power",
         "bound-interest", "wasi-write")  # fmt: skip


def test_the_manifest_lists_every_source_and_every_module(manifest, samples_directory):
    files = {str(path.relative_to(samples_directory)) for path in samples_directory.glob("*/*/*")}
    listed = {sample[kind] for sample in manifest["samples"] for kind in ("source", "wasm")}
    assert files == listed
    assert tuple(sample["name"] for sample in manifest["samples"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuilt_module_is_the_shipped_one(manifest, samples_directory, name, tmp_path, monkeypatch):
    sample = next(each for each in manifest["samples"] if each["name"] == name)
    if sample["language"] == "c":
        assert CCompiler().describe() == manifest["compiler"]
    monkeypatch.chdir(tmp_path)
    source = samples_directory / sample["source"]
    compiled = compiler_for(sample["language"]).compile(source.read_text(), filename=str(source), flags=sample["flags"])
    assert compiled.diagnostics == ""
    assert compiled.content == (samples_directory / sample["wasm"]).read_bytes()


def test_the_sources_compile_without_any_warning(manifest, samples_directory):
    for sample in manifest["samples"]:
        if sample["language"] == "c":
            source = (samples_directory / sample["source"]).read_text()
            compiled = CCompiler().compile(
                source, filename=sample["name"], flags=["-Wall", "-Wextra", *sample["flags"]]
            )
            assert compiled.diagnostics == ""


def test_the_makefile_builds_registers_and_calls_every_sample(manifest, samples_directory):
    lines = [line.strip() for line in (samples_directory / "Makefile").read_text().splitlines() if "$(MOC)" in line]
    for sample in manifest["samples"]:
        flags = "".join(f" {flag}" for flag in sample["flags"])
        declaration = dict(sample["declaration"])
        declared = "".join(f" --allow-host {each}" for each in declaration.pop("allowed_hosts", ()))
        declared += "".join(f" --grant {shlex.quote(each)}" for each in declaration.pop("grants", ()))
        declared += "".join(f" --{name}" for name, value in declaration.items() if value)
        assert f"$(MOC) compile {sample['source']} -o {sample['wasm']}{flags}" in lines
        assert f"$(MOC) push{declared} {sample['name']} {sample['wasm']}" in lines
        assert any(sample["name"] in shlex.split(line) for line in lines if "$(MOC) call" in line)


def test_the_readme_describes_every_sample(manifest, samples_directory):
    text = Path(samples_directory / "README.md").read_text()
    assert re.findall(r"^\| `([^`]+)`", text, re.MULTILINE) == [sample["name"] for sample in manifest["samples"]]

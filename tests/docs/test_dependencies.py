"""Every dependency is explained, every import is a dependency, and the layers are those that the architecture tells."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OWN = {"moc_server_ext", "moc_kernel", "moc_widgets"}
SOURCES = sorted(
    path
    for package in ("moc_server_ext", "moc_kernel", "widgets/moc_widgets")
    for path in (ROOT / package).rglob("*.py")
)


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0]


def imported(path: Path) -> set[str]:
    """Give the top-level names of what a file imports from outside of this repository."""
    names: set[str] = set()
    for each in ast.walk(ast.parse(path.read_text())):
        if isinstance(each, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.ImportFrom) and not each.level and each.module:
            names.add(each.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - OWN


def test_every_dependency_is_explained_and_no_other(page, code):
    rows = page("dependencies.md").table("package", "for", "why this one")
    listed = [name for names, _, _ in rows for name in code(names)]
    assert sorted(listed) == sorted(name_of(each) for each in PROJECT["project"]["dependencies"])


def test_every_extra_is_explained_with_what_it_brings(page, word, code):
    rows = page("dependencies.md").table("extra", "brings", "for")
    listed = {word(extra): sorted(code(brings)) for extra, brings, _ in rows}
    extras = PROJECT["project"]["optional-dependencies"]
    assert listed == {extra: sorted(map(name_of, requirements)) for extra, requirements in extras.items()}


def test_every_import_is_a_dependency_or_said_to_come_with_one(page, word, code):
    direct = {name_of(each).replace("-", "_") for each in PROJECT["project"]["dependencies"]}
    rows = page("dependencies.md").table("import", "comes with")
    along = {word(name): word(package) for name, package in rows}
    assert {package.replace("-", "_") for package in along.values()} <= direct
    used = {name for path in SOURCES if "testing" not in path.parts for name in imported(path)}
    extras = PROJECT["project"]["optional-dependencies"]
    optional = {name_of(each) for extra, brings in extras.items() if extra != "dev" for each in brings}
    # The distribution `google-crc32c` is imported as `google_crc32c`, as the others by their own names.
    assert used - direct - optional == along.keys()


def test_every_dependency_is_imported_somewhere():
    used = {name for path in SOURCES for name in imported(path)}
    assert {name_of(each).replace("-", "_") for each in PROJECT["project"]["dependencies"]} <= used


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("tornado", ("moc_server_ext/http/", "moc_server_ext/extension.py")),
        ("jupyter_server", ("moc_server_ext/http/", "moc_server_ext/extension.py")),
        ("wasmtime", ("moc_server_ext/engines/",)),
        ("apsw", ("moc_server_ext/storage/",)),
    ],
)
def test_a_library_is_imported_only_where_the_architecture_says(page, library, places):
    users = {str(path.relative_to(ROOT)) for path in SOURCES if library in imported(path)}
    assert users
    assert [each for each in users if not each.startswith(places)] == []
    assert f"`{library}`" in page("architecture.md").text


def test_the_layers_in_the_architecture_are_those_that_are_checked(page):
    contract = next(each for each in PROJECT["tool"]["importlinter"]["contracts"] if "containers" in each)
    checked = [{name.strip() for name in line.split("|")} for line in contract["layers"]]
    block = re.search(r"```\n(extension .*?)```", page("architecture.md").text, re.DOTALL)
    assert block
    listed = [set(re.split(r" {3,}", line)[0].split()) for line in block[1].splitlines()]
    assert [name for line in listed for name in sorted(line)] == [name for line in checked for name in sorted(line)]


def test_every_folder_in_the_architecture_exists_and_every_kind_of_test_is_named(page):
    block = re.search(r"```\n(moc_server_ext/ .*?)```", page("architecture.md").text, re.DOTALL)
    assert block
    for line in block[1].splitlines():
        assert (ROOT / line.split()[0]).is_dir(), line
    kinds = {each.name for each in (ROOT / "tests").iterdir() if each.is_dir() and not each.name.startswith((".", "_"))}
    named = re.search(r"^tests/ +(.*)$", block[1], re.MULTILINE)
    assert named
    assert set(named[1].split(", ")) == kinds

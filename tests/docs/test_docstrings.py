"""Docstrings beyond what ruff looks at: what is raised exists, and what is referred to is there."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import moc_kernel
import moc_server_ext
from moc_server_ext import errors
from support import ROOT

PACKAGES = [Path(moc_server_ext.__file__).parent, Path(moc_kernel.__file__).parent, ROOT / "widgets" / "moc_widgets"]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
RAISES = re.compile(r"^Raises\n------\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)
# What a docstring may say is raised besides the platform's errors and Python's own, and where it is defined.
OTHERS = {
    "GuestErrno": "moc_server_ext/guest_api/errno.py",
    "StartupError": "moc_server_ext/http/startup.py",
    "wasmtime.WasmtimeError": None,
}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(tree: ast.AST) -> Iterator[Documented]:
    return (each for each in ast.walk(tree) if isinstance(each, Documented))


def raised_names(docstring: str) -> list[str]:
    """Read the names of a Raises section: its lines without indentation, several on a line."""
    section = RAISES.search(docstring)
    lines = section[1].splitlines() if section else []
    return [name.strip() for line in lines if line and not line[0].isspace() for name in line.split(",")]


def test_what_docstrings_say_is_raised_is_a_class_that_exists():
    known = {*vars(errors), *vars(builtins), *OTHERS}
    unknown, looked_at = [], 0
    for path in SOURCES:
        for each in documented(ast.parse(path.read_text())):
            names = raised_names(ast.get_docstring(each) or "")
            looked_at += len(names)
            unknown += [f"{path.name}: {getattr(each, 'name', '')}: {name}" for name in names if name not in known]
    assert looked_at
    assert not unknown


def test_the_other_classes_that_docstrings_say_are_raised_are_where_they_are_said_to_be():
    for name, place in OTHERS.items():
        if place is not None:
            assert re.search(rf"^class {name}\(", (ROOT / place).read_text(), re.MULTILINE), name
    used = {
        name
        for path in SOURCES
        for each in documented(ast.parse(path.read_text()))
        for name in raised_names(ast.get_docstring(each) or "")
    }
    assert used >= OTHERS.keys() - {"StartupError"}


def test_a_parameter_that_a_docstring_describes_is_a_parameter():
    """Names above the text of a Parameters section are those of the function, or of the class's fields or maker."""
    wrong = []
    for path in SOURCES:
        for each in documented(ast.parse(path.read_text())):
            docstring = ast.get_docstring(each) or ""
            if isinstance(each, ast.Module) or "Parameters\n----------\n" not in docstring:
                continue
            described = parameter_names(docstring)
            wrong += [f"{path.name}: {each.name}: {name}" for name in described if name not in parameters(each)]
    # `call_function` describes pairs of pointer and length by the name that they share.
    assert [each for each in wrong if not each.startswith("calls.py: call_function")] == []


def parameter_names(docstring: str) -> list[str]:
    section = docstring.partition("Parameters\n----------\n")[2]
    section = re.split(r"^\w[\w ]*\n-{3,}$", section, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for line in lines for name in line.split(",")]


def parameters(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    if not isinstance(node, ast.ClassDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return {each.arg for each in every if each is not None}
    names = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name in ("__init__", "initialize"):
            names |= parameters(each)
    return names

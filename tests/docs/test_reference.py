"""The reference says what the code has, and the code has what the reference says."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import moc_kernel
import moc_server_ext
from moc_server_ext import client as client_package
from moc_server_ext import errors, model
from moc_server_ext.cli import main as cli
from moc_server_ext.client.client import Client
from moc_server_ext.client.handles import BufferHandle, FunctionHandle
from moc_server_ext.client.keyvalues import KeyValuesView, KvTransaction
from moc_server_ext.client.started import CallHandle
from moc_server_ext.client.views import BuffersView, FunctionsView
from moc_server_ext.cluster import Cluster
from moc_server_ext.compilers.bindings import bindings
from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE
from moc_server_ext.extension import MocExtension
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.http.routes import ROUTES
from moc_server_ext.http.tls import ensure_certificate
from moc_server_ext.storage import Storage
from moc_server_ext.storage.endpoint import Endpoint, write_endpoint
from moc_server_ext.storage.log_handle import OpenLog
from moc_server_ext.verbs import build_group
from moc_server_ext.verbs.commands import FacedOption, GlobalOption, Verb
from support import ROOT

PACKAGES = [Path(package.__file__).parent for package in (moc_server_ext, moc_kernel)] + [ROOT / "widgets"]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def verbs(group: click.Group, before: str) -> Iterator[tuple[str, Verb]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{before} {name}")
        else:
            assert isinstance(command, Verb)
            yield f"{before} {name}", command


# -- verbs ------------------------------------------------------------------------------------------------------------


def test_the_command_lines_verbs_are_listed_with_their_own_summary_and_example(page, word):
    rows = page("reference/command-line.md").table("verb", "what it does", "example")
    listed = {word(verb): (summary, word(example)) for verb, summary, example in rows}
    found = dict(verbs(cli.build_cli(), "moc"))
    assert list(listed) == list(found)
    for name, verb in found.items():
        summary, example = listed[name]
        assert summary == verb.get_short_help_str(limit=1000), name
        assert example in verb.example, name


def test_the_verbs_that_only_cells_have_are_listed_and_no_others(page, word):
    rows = page("reference/notebooks.md").table("verb", "what it does", "example")
    listed = {word(verb).lstrip("%"): (summary, word(example)) for verb, summary, example in rows}
    magics, commands = dict(verbs(build_group("magic"), "moc")), dict(verbs(cli.build_cli(), "moc"))
    assert set(listed) == set(magics) - set(commands)
    for name, (summary, example) in listed.items():
        assert summary == magics[name].get_short_help_str(limit=1000), name
        assert example in magics[name].example, name


def test_the_verbs_that_cells_do_not_have_are_named(page, code):
    magics, commands = dict(verbs(build_group("magic"), "moc")), dict(verbs(cli.build_cli(), "moc"))
    found = re.search(r"without (.*?), and these:", page("reference/notebooks.md").text)
    assert found
    assert {f"moc {name}" for name in code(found[1])} == set(commands) - set(magics)


def test_the_options_of_every_verb_are_listed(page, word):
    rows = page("reference/command-line.md").table("option", "meaning")
    found = [each.opts[0] for each in cli.build_cli().params if isinstance(each, GlobalOption)]
    assert [word(option) for option, _ in rows] == found


def test_the_options_that_only_cells_have_are_listed_with_the_verbs_that_take_them(page, word, code):
    notebooks = page("reference/notebooks.md")
    takers: dict[str, set[str]] = {}
    for name, verb in verbs(build_group("magic"), "moc"):
        for option in verb.params:
            if isinstance(option, FacedOption) and option.face == "magic":
                takers.setdefault(option.opts[0], set()).add(name.removeprefix("moc "))
    assert {word(option) for option, _ in notebooks.table("option", "meaning")} == set(takers)
    found = re.search(r"^Options that only cells have, for the verbs (.*), as far", notebooks.text, re.MULTILINE)
    assert found
    assert set(code(found[1])) == set().union(*takers.values())


def test_the_exit_codes_are_listed(page):
    rows = page("reference/command-line.md").table("code", "when")
    listed = {int(number) for number, _ in rows if number.isdigit()}
    assert listed == {0, cli.EXIT_ERROR, cli.EXIT_USAGE, cli.EXIT_INTERRUPTED, cli.EXIT_BROKEN_PIPE}


# -- web API and errors -----------------------------------------------------------------------------------------------


def query_parameters(operation: object) -> list[str]:
    """Read from an operation's source which query parameters it takes."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(operation)))
    calls = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "parameters"
    ]
    assert len(calls) == 1, operation
    return [ast.literal_eval(each) for each in calls[0].args]


def test_every_route_is_listed_with_its_methods_and_query_parameters(page, word, code):
    rows = page("reference/http.md").table("route", "query", "what it does")
    listed = {word(route): sorted(code(query)) for route, query, _ in rows}
    found = {
        f"{method} {'/'.join(route.pattern)}": sorted(query_parameters(operation))
        for route in ROUTES
        for method, operation in route.operations.items()
        if method != "HEAD"
    }
    assert listed == found


def test_head_is_answered_wherever_get_is():
    assert all(("GET" in route.operations) == ("HEAD" in route.operations) for route in ROUTES)


def test_every_header_of_moc_is_listed(page, word):
    listed = [word(header) for header, _, _ in page("reference/http.md").table("header", "where", "meaning")]
    texts = {text for path in SOURCES for text in string_constants(path)}
    found = {text.title() for text in texts if re.fullmatch(r"moc-[a-z-]*[a-z]", text, re.IGNORECASE)}
    assert set(listed) == found
    assert len(listed) == len(set(listed))


def test_every_shape_has_the_fields_that_are_sent(page, code):
    shapes = {
        "FUNCTION": model.FunctionRecord("name", "id", 1, "type", model.Declaration(), {}, 0.0),
        "BLOB": model.BlobRecord("id", 1, "type"),
        "BUFFER": model.BufferRecord("name", 1, "type", {}, 0.0),
        "LOG": model.LogRecord("name", "id", 1, 1, "type", {}, 0.0),
        "ARRAY": model.parse_array("int8", [1]),
        "CALL": model.CallResult("id", 1, None, b""),
        "CALLRECORD": model.CallRecord("id", "f", model.Mode.POSIX, "me", model.CallState.DONE, 0.0),
        "RUN": model.RunRecord("id", model.MapReduce("source", "map"), model.RunState.DONE, "map", 0, 0),
    }
    listed = {name: code(names) for name, names in page("reference/http.md").table("name", "fields")}
    assert listed == {name: list(each.to_json()) for name, each in shapes.items()}


def test_every_error_is_listed_with_its_code_status_and_class(page, word):
    rows = page("reference/errors.md").table("code", "status", "class", "meaning")
    listed = [(word(code), int(status), word(name)) for code, status, name, _ in rows]
    found = [(each.code, each.http_status, name) for name, each in error_classes()]
    assert sorted(listed) == sorted(found)


def test_every_status_of_an_error_is_explained(page):
    rows = page("reference/http.md").table("status", "when")
    listed = {int(number) for numbers, _ in rows for number in numbers.split(", ")}
    assert listed == {each.http_status for _, each in error_classes()}


def error_classes() -> list[tuple[str, type[errors.MocError]]]:
    return [
        (name, each)
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.MocError) and each is not errors.MocError
    ]


def test_every_class_of_error_has_a_code_of_its_own():
    codes = [each.code for _, each in error_classes()]
    assert len(codes) == len(set(codes))
    assert all("code" in vars(each) for _, each in error_classes())


def test_the_errors_that_nothing_raises_are_the_ones_that_say_so(page, word):
    used = "\n".join(path.read_text() for path in SOURCES if path.name != "errors.py")
    rows = page("reference/errors.md").table("code", "status", "class", "meaning")
    silent = {word(name) for _, _, name, meaning in rows if "Nothing in this version raises it" in meaning}
    own = Path(errors.__file__).read_text()
    bases = {name for name, _ in error_classes() if re.search(rf"^class \w+\({name}\):", own, re.MULTILINE)}
    assert {name for name, _ in error_classes() if name not in bases and not re.search(rf"\b{name}\(", used)} == silent


# -- guests -----------------------------------------------------------------------------------------------------------


def test_every_function_of_the_guest_api_is_described_with_its_exact_signature(page):
    found = {}
    for each in CORE.functions.values():
        parameters = ", ".join(
            f"{name}: {kind}" for name, kind in zip(each.parameters, each.signature.params, strict=True)
        )
        found[f"{each.name}({parameters}) -> {', '.join(each.signature.results)}"] = each.waits
    headings = re.findall(r"^### `(.*)`( \*waits(?: when live)?\*)?$", page("reference/guests.md").text, re.MULTILINE)
    marks = {"": False, " *waits*": True, " *waits when live*": "live"}
    assert {signature: marks[waits] for signature, waits in headings} == found
    assert len(headings) == len(found)


@pytest.mark.parametrize("name", sorted(CORE.functions))
def test_a_function_of_the_guest_api_is_described_with_its_refusals(page, name):
    guests = page("reference/guests.md")
    heading = re.search(rf"^### `{name}\(.*$", guests.text, re.MULTILINE)
    assert heading
    told = set(re.findall(r"`-(E[A-Z0-9]+)`", guests.section(heading[0])))
    everywhere = set(re.findall(r"`-(E[A-Z0-9]+)`", guests.section("## The guest API").partition("\n**")[0]))
    given = {each.name for each in CORE.functions[name].errors}
    assert told <= given <= told | everywhere


def test_the_table_of_the_guest_api_has_every_refusal_of_every_function(page, word, code):
    rows = page("reference/guests.md").table("function", "needs", "may refuse with")
    listed = {word(name): code(errors) for name, _, errors in rows}
    assert listed == {name: [error.name for error in each.errors] for name, each in CORE.functions.items()}


def test_the_names_of_the_import_modules_are_listed(page, code):
    rows = page("reference/guests.md").table("import module", "what it is")
    listed = {name for names, _ in rows for name in code(names)}
    assert listed == {name for each in (CORE, PREVIEW1, UNSTABLE) for name in (each.name, *each.aliases)}


def test_every_error_number_is_listed(page):
    block = re.search(r"```\n(.*?)```", page("reference/guests.md").section("## Error numbers"), re.DOTALL)
    assert block
    listed = {name: int(number) for name, number in re.findall(r"([A-Z0-9]+) +(\d+)", block[1])}
    assert listed == {each.name: each.value for each in Errno}


def test_every_wasi_function_is_listed_once_and_those_without_effect_say_so(page, code):
    rows = page("reference/guests.md").table("functions", "how they answer")
    listed = [name for names, _ in rows for name in code(names)]
    assert sorted(listed) == sorted(PREVIEW1.functions)
    refusing = {name for names, answer in rows if answer.startswith("`ENOTSUP`") for name in code(names)}
    assert refusing == {
        name for name, each in PREVIEW1.functions.items() if "return Errno.ENOTSUP" in inspect.getsource(each.body)
    }
    found = re.search(r"`wasi_unstable` has the same functions but `(\w+)`", page("reference/guests.md").text)
    assert found
    assert set(PREVIEW1.functions) - set(UNSTABLE.functions) == {found[1]}
    assert not set(UNSTABLE.functions) - set(PREVIEW1.functions)


# -- grants and limits ------------------------------------------------------------------------------------------------


def test_every_limit_is_listed_with_its_default(page, word):
    rows = page("reference/grants-and-limits.md").table("limit", "default", "that is", "what it bounds")
    listed = {word(name): ast.literal_eval(default) for name, default, _, _ in rows}
    assert listed == model.Limits().to_json()
    for name, default, shown, _ in rows:
        if "MiB" in shown:
            assert model.parse_size(shown.replace(" ", "")) == int(default), name


def test_every_grant_is_listed_with_the_kind_of_its_pattern(page, word):
    rows = page("reference/grants-and-limits.md").table("grant", "pattern", "what it allows")
    listed = {word(kind): pattern for kind, pattern, _ in rows}
    kinds, prefixes = model.GRANT_KINDS, model.PREFIX_KINDS
    assert listed == {kind: "prefix" if kind in prefixes else "glob" for kind in kinds}


def test_the_grants_that_nothing_asks_for_are_the_ones_that_say_so(page, word):
    rows = page("reference/grants-and-limits.md").table("grant", "pattern", "what it allows")
    silent = {word(kind) for kind, _, meaning in rows if "nothing in this version asks for it" in meaning}
    asked = {kind for path in SOURCES for kind in _grants_asked(ast.parse(path.read_text()))}
    assert asked
    assert set(model.GRANT_KINDS) - silent == asked


def _grants_asked(module: ast.Module) -> Iterator[str]:
    """Give the kinds of grants that a module asks for, by their names or by constants that hold them."""
    constants = {
        each.target.id: each.value.value
        for each in module.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and isinstance(each.value, ast.Constant)
    }
    for each in ast.walk(module):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _ASKING:
            kind = each.args[1]
            if isinstance(kind, ast.Constant):
                yield kind.value
            elif isinstance(kind, ast.Name) and kind.id in constants:
                yield constants[kind.id]


_ASKING = ("check_grant", "require", "require_storage")


# -- Python -----------------------------------------------------------------------------------------------------------


def members(cls: type) -> set[str]:
    """Give the public members, those that are set at the beginning included."""
    found = {name for name in vars(cls) if not name.startswith("_")}
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    for each in ast.walk(tree):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and not each.attr.startswith("_"):
            found.add(each.attr)
    if dataclasses.is_dataclass(cls):
        found |= {each.name for each in dataclasses.fields(cls)}
    return found


def check_call(text: str, function: object, *, bound: bool) -> None:
    """Compare a call as it is written in a table with a function's parameters and their defaults."""
    tree = ast.parse(text.replace("…", "..."), mode="eval").body
    if not isinstance(tree, ast.Call):
        assert not callable(function), f"{text} is called"
        return
    listed: list[tuple[str, str]] = []
    for each in tree.args:
        inner = each.value if isinstance(each, ast.Starred) else each
        assert isinstance(inner, ast.Name)
        listed.append((inner.id, "required"))
    listed += [(str(each.arg), ast.unparse(each.value)) for each in tree.keywords]
    found: list[tuple[str, str]] = []
    parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    for parameter in parameters[1:] if bound else parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            found.append((parameter.name, "required"))
        elif parameter.default is parameter.empty:
            found.append((parameter.name, "..." if parameter.kind is parameter.KEYWORD_ONLY else "required"))
        elif dataclasses.is_dataclass(parameter.default):
            assert parameter.default == type(parameter.default)()
            found.append((parameter.name, f"{type(parameter.default).__name__}()"))
        else:
            found.append((parameter.name, repr(parameter.default)))
    assert listed == found, text


@pytest.mark.parametrize(
    ("heading", "column", "cls"),
    [
        ("## `Client`", "member", Client),
        ("### `CallResult`", "member", model.CallResult),
        ("### `CallHandle`", "member", CallHandle),
        ("### `moc.functions`", "member", FunctionsView),
        ("### `moc.functions`", "member of a function handle", FunctionHandle),
        ("### `moc.buffers`", "member", BuffersView),
        ("### `moc.buffers`", "member of a buffer handle", BufferHandle),
        ("### Open logs", "member of an open log", OpenLog),
        ("### `moc.kv`", "member", KeyValuesView),
        ("### `moc.kv`", "member of a transaction", KvTransaction),
        ("## `Cluster`: the platform in your own process", "member", Cluster),
    ],
)
def test_every_member_is_listed_with_its_parameters(page, word, heading, column, cls):
    rows = page("reference/python.md").table(column, "what it is", below=heading)
    listed = [word(member) for member, _ in rows]
    names = [each.partition("(")[0] for each in listed]
    assert sorted(names) == sorted(members(cls))
    for text, name in zip(listed, names, strict=True):
        attribute = inspect.getattr_static(cls, name, None)
        if isinstance(attribute, classmethod):
            check_call(text, attribute.__func__, bound=True)
        else:
            check_call(text, attribute if inspect.isfunction(attribute) else None, bound=True)


def test_connecting_is_described_with_its_parameters(page, word):
    rows = page("reference/python.md").table("function", "what it gives")
    listed = {word(call).partition("(")[0]: word(call) for call, _ in rows}
    assert set(listed) == {"moc_kernel.connect", "moc_server_ext.client.connect"}
    check_call(listed["moc_kernel.connect"], moc_kernel.connect, bound=False)
    check_call(listed["moc_server_ext.client.connect"], client_package.connect, bound=False)


def test_calling_a_function_handle_is_described_with_its_parameters(page):
    found = re.search(r"`(handle\(.*?\))`", page("reference/python.md").text)
    assert found
    check_call(found[1], FunctionHandle.__call__, bound=True)


def test_every_field_of_a_plan_is_listed_with_its_default(page, word):
    listed = {}
    for name, default, _ in page("reference.md").table("field", "default", "meaning"):
        listed[word(name)] = default and {"null": None}.get(word(default), word(default))
    found = {}
    for each in dataclasses.fields(model.MapReduce):
        required = each.default is dataclasses.MISSING
        found[each.name] = "" if required else each.default if each.default is None else str(each.default)
    assert listed == found


# -- configuration ----------------------------------------------------------------------------------------------------


def string_constants(path: Path) -> list[str]:
    return [
        each.value
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]


def test_every_environment_variable_that_is_read_is_listed(page, word):
    listed = {word(name) for name, _ in page("reference/configuration.md").table("variable", "meaning")}
    found = {text for path in SOURCES for text in string_constants(path) if re.fullmatch(r"_?MOC_[A-Z_]+", text)}
    assert {name for name in listed if "MOC" in name} == found
    others = {text for path in SOURCES for text in string_constants(path) if re.fullmatch(r"JUPYTER_[A-Z_]+", text)}
    assert listed - found == others


def test_no_page_names_an_environment_variable_that_does_not_exist(page):
    known = {text for path in SOURCES for text in string_constants(path) if re.fullmatch(r"_?MOC_[A-Z_]+", text)}
    # Those of the C header are no variables of the environment, and have the same beginning.
    known |= set(re.findall(r"MOC_[A-Z_]+", bindings("core", "c")))
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert set(re.findall(r"_?MOC_[A-Z_]+", path.read_text())) <= known, path


def test_every_setting_of_the_extension_is_listed_with_its_default_and_help(page, word):
    rows = page("reference/configuration.md").table("setting", "default", "meaning")
    listed = {word(name): (ast.literal_eval(word(default)), help) for name, default, help in rows}
    traits = MocExtension.class_own_traits(config=True)
    assert listed == {name: (each.default(), each.help) for name, each in traits.items()}


def test_every_entry_of_a_storage_directory_is_listed(page, word, code, tmp_path):
    rows = {word(name): meaning for name, meaning in page("reference/configuration.md").table("entry", "what it is")}
    with Storage.open(tmp_path / "storage") as storage:
        endpoint = Endpoint(1, "https://localhost:1", None, storage.token, None, storage.instance_id)
        write_endpoint(storage.path, endpoint)
        ensure_certificate(storage.path / "tls")
        found = {each.name for each in storage.path.iterdir()}
        modes = {each.stat().st_mode & 0o777 for each in storage.path.iterdir() if each.is_file()}
    assert {name for name in found if not name.endswith(("-wal", "-shm"))} == set(rows)
    assert modes == {0o600}
    assert code(rows["endpoint.json"]) == [each.name for each in dataclasses.fields(Endpoint)]

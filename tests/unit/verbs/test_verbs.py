"""What each verb asks of the platform, and what it gives back."""

import base64
import json

import pytest

from moc_server_ext.errors import InvalidInputError, KeyConflictError, UsageError
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.model import CallResult, Mode
from moc_server_ext.verbs import BytesOutcome, CallOutcome, TableOutcome

WASM = b"\0asm start"


def test_all_that_follows_a_called_name_belongs_to_the_guest(moc, platform):
    moc("call", "--env", "A=1", "--env", "B=x=y", "--limit", "timeout_seconds=2", "f", "-h", "--", "--json", "-x")
    (request,) = platform.requests
    assert request.arguments == ("-h", "--", "--json", "-x")
    assert request.env == {"A": "1", "B": "x=y"}
    assert request.limits == {"timeout_seconds": 2.0}
    assert request.input == b""


@pytest.mark.parametrize(
    ("options", "content"),
    [(("--input", "-n"), b"-n"), (("--input-file", "in.txt"), b"file"), (("--input-file", "-"), b"piped")],
)
def test_call_takes_its_input_from_where_it_was_said(options, content, moc, host, platform):
    host.files["in.txt"] = b"file"
    host.stdin_content = b"piped"
    moc("call", *options, "f")
    assert platform.requests[0].input == content


def test_call_says_what_array_its_input_is(moc, host, platform):
    host.files["raw"] = bytes(24)
    moc("call", "--input-file", "raw", "--dtype", "<f4", "--shape", "2,3", "f")
    assert platform.requests[0].input_headers == {"moc-dtype": "float32", "moc-shape": "[2,3]"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--dtype", "float32"), "--dtype and --shape say only together"),
        (("--shape", "3"), "--dtype and --shape say only together"),
        (("--dtype", "float33", "--shape", "3"), "'float33' is no data type of arrays"),
        (("--dtype", "int8", "--shape", "2;3"), "is no shape"),
    ],
)
def test_a_call_refuses_what_describes_no_array(moc, options, reason):
    with pytest.raises(UsageError, match=reason):
        moc("call", *options, "f")


def test_guest_api_gives_the_header_and_writes_it(moc, host):
    text = moc("guest-api", "core", "C").to_text()
    assert text.startswith("/*\n * The guest API of moc")
    assert "MOC_CHUNK" in text
    said = moc("guest-api", "core", "c", "-o", "core.h").to_text()
    assert host.files["core.h"].decode().removesuffix("\n") == text
    assert said.startswith("core.h: ")


def test_guest_api_describes_every_function_as_json(moc):
    described = json.loads(moc("guest-api", "core", "json").to_text())
    assert (described["module"], described["aliases"]) == ("core", ["my-own-cluster"])
    functions = {each.pop("name"): each for each in described["functions"]}
    assert list(functions) == list(CORE.functions)
    for name, each in CORE.functions.items():
        found = functions[name]
        assert [parameter["name"] for parameter in found["parameters"]] == list(each.parameters)
        assert tuple(parameter["type"] for parameter in found["parameters"]) == each.signature.params
        assert tuple(found["results"]) == each.signature.results
        assert found["errors"] == {error.name: error.value for error in each.errors}
        assert found["waits"] == each.waits
        assert found["since"]
        assert found["summary"]
    assert functions["log"]["instead"] is None
    assert functions["get_buffer"]["instead"] == "read_exchange_buffer"
    assert functions["get_time"] == {
        "parameters": [{"name": "ptr", "type": "i32"}, {"name": "length", "type": "i32"}],
        "results": ["i32"],
        "waits": False,
        "summary": CORE.functions["get_time"].summary,
        "errors": {"EFAULT": 21, "EINVAL": 28, "ENOSYS": 52},
        "since": "0.1.0",
        "instead": None,
    }


@pytest.mark.parametrize("words", [("core", "cobol"), ("wasi_snapshot_preview1", "c")])
def test_guest_api_lists_what_there_is(moc, words):
    with pytest.raises(
        InvalidInputError, match="those that `moc guest-api core c` and `moc guest-api core json` print"
    ):
        moc("guest-api", *words)


def test_text_and_a_file_as_inputs_of_a_call_are_a_usage_error(moc):
    with pytest.raises(UsageError, match="--input and --input-file exclude one another"):
        moc("call", "--input", "a", "--input-file", "b", "f")


def test_standard_input_can_be_one_input_only(moc):
    with pytest.raises(UsageError, match="--input-file - is given twice"):
        moc("call", "--input-file", "-", "--input-file", "-", "f")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dtype", "uint8"), "say only together"),
        (("--dtype", "uint8", "--shape", "1", "--dtype", "uint8"), "say only together"),
        (("--dtype", "uint8", "--shape", "1", "--dtype", "uint8", "--shape", "1"), "given 2 times, more often than"),
    ],
)
def test_arrays_that_are_told_without_an_input_or_by_half_are_a_usage_error(moc, words, said):
    with pytest.raises(UsageError, match=said):
        moc("call", *words, "f")


@pytest.mark.parametrize(
    "words",
    [
        ("call", "--env", "novalue", "f"),
        ("call", "--limit", "timeout_seconds=soon", "f"),
        ("call", "--mode", "fast", "f"),
        ("push", "--grant", "everything", "f", "f.wasm"),
        ("push", "--allow-host", "a b", "f", "f.wasm"),
        ("buffer", "get", "--range", "5:2", "b"),
        ("buffer", "get", "--range", "-5:", "b"),
        ("mapreduce", "s", "--map", "m", "--split", "bytes:4"),
        ("mapreduce", "s", "--map", "m", "--split", "lines:0"),
        ("mapreduce", "s", "--map", "m", "--partitions", "0"),
        ("mapreduce", "s", "--map", "m", "--executor", "dask"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_a_usage_error(words, moc, platform):
    with pytest.raises(UsageError, match="Invalid value for"):
        moc(*words)
    assert not platform.requests


def test_call_writes_the_output_into_a_file_instead_of_showing_it(moc, host):
    outcome = moc("call", "--output-file", "out.bin", "f")
    assert host.files == {"out.bin": b"OUT"}
    assert outcome.to_text() == ""


def test_a_call_shows_output_and_then_numbers_and_passes_the_exit_code_on(moc, platform):
    platform.result = CallResult("c", (1, 2.5), None, b"text", b"careful\n")
    outcome = moc("call", "f")
    assert isinstance(outcome, CallOutcome)
    assert outcome.to_text() == "text\n1 2.5"
    assert outcome.warnings == "careful\n"
    platform.result = CallResult("c", None, 3, b"")
    assert moc("call", "f").exit_code == 3


def test_variables_feed_a_call_and_take_what_it_gives(magic, host, platform, variables):
    host.variables["text"] = "abc"
    assert magic("call", "-i", "text", "-o", "answer", "f").to_text() == ""
    assert platform.requests[0].input == b"abc"
    assert variables["answer"] == b"OUT"
    platform.result = CallResult("c", 42, None, b"")
    magic("call", "-o", "answer", "f")
    assert variables["answer"] == 42


def test_only_what_holds_bytes_can_be_an_input(magic, host, platform):
    host.variables["array"] = memoryview(bytearray(b"\x01\x02"))
    magic("call", "-i", "array", "f")
    assert platform.requests[0].input == b"\x01\x02"
    host.variables["number"] = 5
    with pytest.raises(InvalidInputError, match="'number' is int: expected bytes"):
        magic("call", "-i", "number", "f")


def test_the_cell_of_a_call_is_its_input(magic, host, platform):
    host.cell = "line\n"
    magic("call", "f")
    assert platform.requests[0].input == b"line\n"


def test_push_registers_a_module_with_its_declaration_and_gives_the_blob_id(moc, host, platform):
    host.files["f.wasm"] = WASM
    outcome = moc(
        "push", "f", "f.wasm", "--grant", "kv:a/", "--allow-host", "example.org:80", "--limit", "memory_bytes=1MiB",
        "--reusable", "--deterministic", "--mode", "posix", "--entry", "_start",
    )  # fmt: skip
    assert outcome.to_text() == "ab" * 32
    declaration = platform.functions.records["f"].declaration
    assert declaration.grants.permissions == {"kv:a/"}
    assert declaration.grants.allowed_hosts == {"example.org:80"}
    assert declaration.limits == {"memory_bytes": 1 << 20}
    assert (declaration.mode, declaration.entry) == (Mode.POSIX, "_start")
    assert declaration.reusable
    assert declaration.deterministic


def test_push_compiles_a_source_first(moc, host, platform):
    host.files["f.wat"] = b'(module (func (export "f")))'
    moc("push", "f", "f.wat")
    assert platform.functions.contents["f"].startswith(b"\0asm")
    assert "compiling f.wat" in host.labels


def test_push_gives_what_is_no_source_to_the_platform_as_it_is(moc, host, platform):
    host.files["notes"] = b"no module"
    moc("push", "f", "notes")
    assert platform.functions.contents["f"] == b"no module"


def test_functions_are_listed_shown_and_deleted(moc, platform):
    assert "moc push" in moc("functions").to_text()
    platform.functions.put("upper", WASM)
    listing = moc("functions")
    assert isinstance(listing, TableOutcome)
    assert listing.to_text().splitlines()[1].split()[:2] == ["upper", "posix"]
    assert listing.to_json()["functions"][0]["name"] == "upper"
    shown = moc("function", "show", "upper").to_text()
    assert "blob id:" in shown
    assert "_start() -> ()" in shown
    moc("function", "delete", "upper")
    assert not platform.functions.records


def test_buffers_are_stored_with_a_type_and_read_in_ranges(moc, host, platform):
    host.files["a.csv"] = b"0123456789"
    assert moc("buffer", "put", "digits", "a.csv").to_text() == "stored buffer 'digits': 10 bytes, text/csv"
    outcome = moc("buffer", "get", "digits", "--range", "2:5")
    assert isinstance(outcome, BytesOutcome)
    assert outcome.content == b"234"
    assert outcome.content_type == "text/csv"
    assert base64.b64decode(outcome.to_json()["content"]) == b"234"
    assert moc("buffer", "get", "digits", "--range", "8:").content == b"89"
    assert moc("buffer", "get", "digits", "--range", ":2").content == b"01"
    moc("buffer", "delete", "digits")
    assert not platform.buffers.contents


def test_a_buffer_comes_from_stdin_a_variable_or_the_cell(moc, magic, host, platform):
    host.stdin_content = b"piped"
    host.variables["v"] = bytearray(b"var")
    moc("buffer", "put", "--content-type", "text/plain", "one", "-")
    magic("buffer", "put", "two", "-i", "v")
    host.cell = "cell"
    magic("buffer", "put", "three")
    assert {name: content for name, (content, _) in platform.buffers.contents.items()} == {
        "one": b"piped",
        "two": b"var",
        "three": b"cell",
    }


def test_a_buffer_is_compressed_as_it_is_asked_for(moc, magic, host, platform):
    host.stdin_content = b"piped"
    moc("buffer", "put", "--compression", "zstd", "one", "-")
    host.variables["v"] = bytearray(b"var")
    magic("buffer", "put", "--compression", "zstd", "two", "-i", "v")
    host.cell = "cell"
    magic("buffer", "put", "--compression", "zstd", "three")
    host.cell = None
    moc("buffer", "put", "four", "-")
    assert platform.buffers.compressions == {"one": "zstd", "two": "zstd", "three": "zstd", "four": None}
    with pytest.raises(UsageError, match="Compression 'gzip' is unknown: there is 'zstd'"):
        moc("buffer", "put", "--compression", "gzip", "one", "-")


def test_storing_nothing_is_a_usage_error(moc):
    with pytest.raises(UsageError, match=r"Missing argument FILE.*`moc buffer put -h`"):
        moc("buffer", "put", "name")
    with pytest.raises(UsageError, match=r"Missing argument VALUE.*`moc kv set -h`"):
        moc("kv", "set", "key")


def test_values_are_set_read_listed_and_deleted_by_key(moc, platform):
    moc("kv", "set", "a/1", "one")
    moc("kv", "set", "--", "a/2", "-2")
    moc("kv", "set", "b", "")
    assert moc("kv", "get", "a/2").content == b"-2"
    assert moc("kv", "list", "a/").to_text() == "a/1\na/2"
    assert moc("kv", "list", "--limit", "1", "--after", "a/1").to_json() == {"keys": ["a/2"]}
    moc("kv", "delete", "b")
    assert set(platform.kv.values) == {b"a/1", b"a/2"}


def test_more_keys_than_a_page_are_all_listed(moc, platform):
    platform.kv.values = {f"{number:05}".encode(): b"" for number in range(2500)}
    assert len(moc("kv", "list").to_json()["keys"]) == 2500
    assert len(moc("kv", "list", "--limit", "1500").to_json()["keys"]) == 1500


def test_a_key_with_control_characters_is_listed_without_them(moc, platform):
    platform.kv.values = {b"\x1b[2Jx\n": b""}
    assert moc("kv", "list").to_text() == r"\x1b[2Jx\n"


def test_keys_are_listed_with_the_beginning_of_their_values(moc, platform):
    platform.kv.values = {b"a": b"one\n", b"b\xff": b"\xff", b"c": b"x" * 300, b"d": b""}
    outcome = moc("kv", "list", "--values", "--limit", "3")
    lines = outcome.to_text().splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["KEY", "VALUE"], ["a", r"one\n"], [r"b\udcff", "\ufffd"]]
    assert lines[3].endswith("x… (300 bytes)")
    assert [each["value"] for each in outcome.to_json()["keys"]][:2] == ["b25lCg==", "/w=="]
    assert len(outcome.to_json()["keys"]) == 3


def test_all_values_are_listed_page_by_page(moc, platform):
    platform.kv.values = {f"{number:05}".encode(): b"" for number in range(2500)}
    assert len(moc("kv", "list", "--values").to_json()["keys"]) == 2500


def test_a_value_is_set_only_if_it_is_the_expected_one(moc, platform):
    moc("kv", "cas", "--absent", "lock", "mine")
    moc("kv", "cas", "lock", "mine", "yours")
    assert platform.kv.values == {b"lock": b"yours"}
    for words in (["--absent", "lock", "mine"], ["lock", "mine", "his"], ["--remove", "lock", "mine"]):
        with pytest.raises(KeyConflictError):
            moc("kv", "cas", *words)
    assert platform.kv.values == {b"lock": b"yours"}
    assert moc("kv", "cas", "--remove", "lock", "yours").to_json() == {"key": "lock", "size": None}
    assert platform.kv.values == {}


@pytest.mark.parametrize("words", [["k"], ["k", "a"], ["k", "a", "b", "c"], ["--absent", "k"], ["--remove", "k"]])
def test_values_that_are_missing_or_too_many_are_a_usage_error(moc, words):
    with pytest.raises(UsageError, match="behind KEY"):
        moc("kv", "cas", *words)


def test_a_number_is_counted_and_the_sum_shown(moc):
    assert moc("kv", "incr", "n").to_text() == "1"
    assert moc("kv", "incr", "n", "41").to_json() == {"key": "n", "value": 42}
    assert moc("kv", "incr", "--", "n", "-50").to_text() == "-8"


def test_mapreduce_gives_its_output_or_stores_it(moc, platform):
    outcome = moc("mapreduce", "books", "--map", "m", "--reduce", "r", "--split", "lines:64KiB", "--partitions", "3")
    assert outcome.content == b"a\t1\nb\t2\n"
    plan = platform.runs.records[0].plan
    assert (plan.source, plan.map, plan.combine, plan.reduce) == ("books", "m", None, "r")
    assert (plan.split_bytes, plan.partitions, plan.threads, plan.sink) == (65536, 3, 0, None)
    assert moc("mapreduce", "books", "--map", "m", "-o", "counts").to_text() == "stored buffer 'counts': 6 bytes"
    assert moc("runs").to_text().splitlines()[2].split()[0] == "run0"


def test_a_cell_is_compiled_with_its_own_line_numbers_and_registered(magic, host, platform):
    host.cell = '(module (func (export "add") (param i32 i32) (result i32) i32.const 1))'
    outcome = magic("wat", "add", "--reusable")
    assert outcome.to_text() == "registered function 'add': add(i32, i32) -> (i32)"
    assert platform.functions.records["add"].declaration.reusable


def test_a_cell_verb_without_a_cell_or_with_a_flag_for_a_name_is_a_usage_error(magic, host):
    with pytest.raises(UsageError, match="no cell to compile"):
        magic("c", "name")
    host.cell = "int x;"
    with pytest.raises(UsageError, match="name comes before"):
        magic("c", "-O3", "name")


def test_compiler_flags_are_taken_as_they_are_and_moc_options_before_them(moc, host, monkeypatch):
    from moc_server_ext import compilers
    from moc_server_ext.abc import Compiled

    seen = []

    class Recorder:
        language, suffixes = "c", (".c",)

        def compile(self, source, *, filename, first_line=1, flags=(), progress=None):
            seen.append((source, filename, tuple(flags)))
            return Compiled(b"\0asm", "application/wasm", "f.c:1:1: warning: hm\n")

    monkeypatch.setattr(compilers, "compiler_for_file", lambda path: Recorder())
    host.files["f.c"] = b"int x;"
    outcome = moc("compile", "f.c", "-o", "out.wasm", "-O3", "-fhidden", "-I", "include", "-o")
    assert seen == [("int x;", "f.c", ("-O3", "-fhidden", "-I", "include", "-o"))]
    assert host.files["out.wasm"] == b"\0asm"
    assert outcome.to_text() == "out.wasm: 4 bytes"
    assert "warning" in outcome.warnings
    moc("compile", "f.c")
    assert "f.wasm" in host.files


def test_a_source_that_is_no_text_is_refused(moc, host):
    host.files["f.c"] = b"\xff\xfe"
    with pytest.raises(InvalidInputError, match=r"'f\.c' is not UTF-8 text: byte 0"):
        moc("compile", "f.c")


def test_status_says_who_answers(moc):
    outcome = moc("status")
    assert outcome.to_text().splitlines() == [
        "talking to:       embedded on memory",
        "version:          1",
        "counts functions: 0",
    ]
    assert outcome.to_json()["origin"] == "embedded on memory"


def test_gc_says_what_went_and_what_is_held_and_why(moc):
    outcome = moc("gc")
    assert outcome.to_text().splitlines() == [
        "removed: 1 file, 2.0 KiB",
        "held, since it went lately: 2 files, 10 bytes",
    ]
    assert moc("gc", "--dry-run").to_text().splitlines() == [
        "would remove: 1 file, 2.0 KiB",
        "held, since it went lately: 2 files, 10 bytes",
        "unknown to the catalog, of a crash: 1 file, 5 bytes",
    ]
    assert outcome.to_json()["held"] == {"grace": {"objects": 2, "bytes": 10}}


def test_connect_turns_to_another_server(magic, host):
    assert magic("connect", "https://localhost:8443").to_text() == "connected: server https://localhost:8443"
    assert host.client.origin == "server https://localhost:8443"

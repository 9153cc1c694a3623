"""Each sample gives the right answer on the platform itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest, CallResult

WORD = re.compile(rb"[a-z0-9]+")
Call = Callable[..., CallResult]


@pytest.fixture(scope="session")
def call(cluster: Cluster) -> Call:
    def call(name: str, *arguments: str, input: bytes = b"", entry: str | None = None) -> CallResult:
        return cluster.call_sync(CallRequest(name, arguments=arguments, input=input, entry=entry))

    return call


@pytest.fixture(scope="session")
def text() -> bytes:
    """Some English of more than one read."""
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def map_words(text: bytes) -> bytes:
    return b"".join(word + b"\t1\n" for word in WORD.findall(text.lower()))


# -- small ones -------------------------------------------------------------------------------------------------------


def test_uppercase_changes_ascii_letters_only(call: Call):
    every_byte = bytes(range(256))
    assert call("uppercase", input=every_byte).output == every_byte.upper()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_uppercase_of_any_size(call: Call, size: int):
    result = call("uppercase", input=b"a" * size)
    assert (result.exit_code, result.output) == (0, b"A" * size)


def test_wasi_write_says_hello(call: Call):
    result = call("wasi-write")
    assert (result.exit_code, result.output) == (0, b"Hello from WASI, in text\n")


def test_http_request_needs_a_url_of_a_host_that_it_was_allowed(call: Call):
    assert call("http-request").exit_code == 2
    refused = call("http-request", "http://192.0.2.1/")
    assert (refused.exit_code, refused.output) == (1, b"")
    assert b"--allow-host 192.0.2.1" in refused.stderr


def test_api_demo_adds(call: Call):
    assert call("api-demo", "2", "3", entry="add").result == 5


def test_api_demo_says_hello_through_the_guest_api(call: Call):
    result = call("api-demo", entry="hello")
    assert (result.result, result.output) == (0, b"Hello from WebAssembly, without a C library\n")
    assert b"api-demo said hello" in result.stderr


# -- cowsay -----------------------------------------------------------------------------------------------------------

COW = r"""
        \   ^__^
         \  (oo)\_______
            (__)\       )\/\
                ||----w |
                ||     ||
"""


def balloon(result: CallResult) -> list[str]:
    return result.output.decode().splitlines()[:-5]


def test_the_cow_says_its_arguments(call: Call):
    assert call("cowsay", "Moo", "moo").output.decode() == " _________ \n< Moo moo >\n --------- " + COW


def test_the_cow_says_its_input(call: Call):
    assert balloon(call("cowsay", input=b"one\ntwo\n")) == [" _________ ", "< one two >", " --------- "]


def test_nothing_to_say_is_an_empty_balloon(call: Call):
    assert balloon(call("cowsay")) == [" __ ", "<  >", " -- "]


def test_long_text_is_wrapped_as_text_is(call: Call):
    words = " ".join(f"{'word' * (n % 4)}{n}" for n in range(60))
    lines = textwrap.wrap(words, 39)
    found = balloon(call("cowsay", words))
    assert [line[2:-2].rstrip() for line in found[1:-1]] == lines
    assert [line[0] + line[-1] for line in found[1:-1]] == ["/\\", *["||"] * (len(lines) - 2), "\\/"]
    assert len({len(line) for line in found}) == 1


def test_a_word_wider_than_the_balloon_is_cut(call: Call):
    assert balloon(call("cowsay", "-W", "5", "abcdefghij"))[1:-1] == ["/ abcd \\", "| efgh |", "\\ ij   /"]


def test_an_empty_line_begins_a_paragraph(call: Call):
    assert balloon(call("cowsay", input=b"a\nb\n\nc\n"))[1:-1] == ["/ a b \\", "|     |", "\\ c   /"]


def test_lines_stay_as_they_are_when_asked(call: Call):
    assert balloon(call("cowsay", "-n", input=b"a\n\n\tb  c\n"))[1:-1] == [
        "/ a            \\",
        "|              |",
        "\\         b  c /",
    ]


def test_letters_of_more_than_one_byte_take_one_column(call: Call):
    assert balloon(call("cowsay", "-W", "4", "äöüß"))[1:-1] == ["/ äöü \\", "\\ ß   /"]


@pytest.mark.parametrize(
    ("option", "eyes", "tongue"),
    [("-b", "==", "  "), ("-d", "xx", "U "), ("-g", "$$", "  "), ("-p", "@@", "  "), ("-s", "**", "U "),
     ("-t", "--", "  "), ("-w", "OO", "  "), ("-y", "..", "  "), ("-e^^", "^^", "  "), ("-TUU", "oo", "UU"),
     ("-eabc", "ab", "  ")],
)  # fmt: skip
def test_moods_eyes_and_tongues(call: Call, option: str, eyes: str, tongue: str):
    cow = call("cowsay", option, "x").output.decode().splitlines()
    assert cow[4] == f"         \\  ({eyes})\\_______"
    assert cow[6] == f"             {tongue} ||----w |"


def test_under_a_name_that_ends_in_think_it_thinks(call: Call, cluster: Cluster, manifest, samples_directory):
    sample = next(each for each in manifest["samples"] if each["name"] == "cowsay")
    cluster.functions.put("cowthink", (samples_directory / sample["wasm"]).read_bytes())
    lines = call("cowthink", "hm").output.decode().splitlines()
    assert lines[1] == "( hm )"
    assert [lines[3].strip()[0], lines[4].strip()[0]] == ["o", "o"]


@pytest.mark.parametrize("arguments", [("-x",), ("-W",), ("-W", "1", "x"), ("-W", "wide", "x")])
def test_a_wrong_option_is_usage_and_exit_code_2(call: Call, arguments: tuple[str, ...]):
    result = call("cowsay", *arguments)
    assert (result.exit_code, result.output) == (2, b"")
    assert b"usage: cowsay" in result.stderr


def test_help_is_an_answer(call: Call):
    result = call("cowsay", "-h")
    assert result.exit_code == 0
    assert result.output.startswith(b"usage: cowsay")


# -- word count -------------------------------------------------------------------------------------------------------


def test_map_finds_the_words_that_the_regular_expression_finds(call: Call, text: bytes):
    assert call("wordcount-map", input=text).output == map_words(text)


@given(st.binary(max_size=400) | st.text("aZ09 _\n.\x00", max_size=400).map(str.encode))
@settings(deadline=None, max_examples=40)
def test_map_finds_the_same_words_in_any_bytes(call: Call, content: bytes):
    assert call("wordcount-map", input=content).output == map_words(content)


@pytest.mark.parametrize("content", [b"a " * 70_000, b"w" * 200_000, b" " * 65_535 + b"ab", b"x" * 65_536])
def test_map_is_right_at_the_edges_of_its_buffers(call: Call, content: bytes):
    assert call("wordcount-map", input=content).output == map_words(content)


def test_reduce_gives_the_counts_of_a_counter(call: Call, text: bytes):
    lines = b"".join(sorted(map_words(text).splitlines(keepends=True)))
    counts = Counter(WORD.findall(text.lower()))
    expected = b"".join(b"%s\t%d\n" % pair for pair in sorted(counts.items()))
    assert call("wordcount-reduce", input=lines).output == expected


def test_reduce_is_its_own_combiner(call: Call):
    parts = [call("wordcount-reduce", input=b"a\t1\n" * n + b"b\t2\n").output for n in (3, 4)]
    lines = b"".join(sorted(b"".join(parts).splitlines(keepends=True)))
    assert call("wordcount-reduce", input=lines).output == b"a\t7\nb\t4\n"


def test_reduce_takes_keys_of_any_length_and_any_bytes(call: Call):
    long = b"k" * 200_000
    content = b"\t1\n\t2\n" + b"\0\xff\t3\n" + long + b"\t4\n" + long + b"\t5"
    assert call("wordcount-reduce", input=content).output == b"\t3\n\0\xff\t3\n" + long + b"\t9\n"


def test_reduce_sums_up_to_64_bits(call: Call):
    assert call("wordcount-reduce", input=b"a\t18446744073709551614\na\t1\n").output == b"a\t18446744073709551615\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\t1\nb 1\n", "line 2: expected KEY<TAB>COUNT, found no TAB"),
        (b"\n", "line 1: expected KEY<TAB>COUNT, found no TAB"),
        (b"a\t\n", "line 1: expected a whole number behind the TAB, found nothing"),
        (b"a\t-1\n", "line 1: expected a whole number behind the TAB"),
        (b"a\t1\t1\n", "line 1: expected a whole number behind the TAB"),
        (b"a\t1\r\n", "line 1: expected a whole number behind the TAB"),
        (b"a\t18446744073709551616\n", "line 1: the count does not fit into 64 bits"),
        (b"a\t1\na\t18446744073709551615\n", "line 2: the sum does not fit into 64 bits"),
    ],
)
def test_reduce_refuses_a_bad_line_by_its_number(call: Call, content: bytes, message: str):
    result = call("wordcount-reduce", input=content)
    assert (result.exit_code, result.output) == (2, b"")
    assert result.stderr.decode() == f"wordcount-reduce: {message}\n"


def test_the_word_count_built_natively_gives_the_same_bytes(call: Call, text: bytes, samples_directory, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("this machine has no native C compiler to compare with")
    for name in ("wordcount-map", "wordcount-reduce"):
        source = samples_directory / "c" / name / f"{name}.c"
        subprocess.run([compiler, "-O2", "-o", tmp_path / name, source], check=True)
    mapped = subprocess.run([tmp_path / "wordcount-map"], input=text, capture_output=True, check=True).stdout
    assert call("wordcount-map", input=text).output == mapped
    lines = b"".join(sorted(mapped.splitlines(keepends=True)))
    reduced = subprocess.run([tmp_path / "wordcount-reduce"], input=lines, capture_output=True, check=True).stdout
    assert call("wordcount-reduce", input=lines).output == reduced


def test_modes_are_chosen_by_what_the_samples_export(cluster: Cluster, manifest):
    for sample in manifest["samples"]:
        exports = cluster.functions.get(sample["name"]).exports
        assert ("_start" in exports) == (sample["name"] != "api-demo")

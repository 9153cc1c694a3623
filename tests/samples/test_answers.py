"""Each sample gives the right answer on the platform itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import GuestStatusError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallInput, CallRequest, CallResult, Declaration, parse_grants

WORD = re.compile(rb"[a-z0-9]+")
DIRECT = ("api-demo", "api-buffers", "api-tour", "blur", "mean", "power", "bound-interest")
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


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_call_uppercase_has_its_work_done_by_uppercase(call: Call, size: int):
    result = call("call-uppercase", input=b"shout" * (size // 5))
    assert (result.exit_code, result.stderr) == (0, b"")
    assert result.output == b"SHOUT" * (size // 5)


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


def test_api_tour_keeps_its_input_and_tells_all_it_kept(call: Call, cluster: Cluster):
    result = call("api-tour", entry="keep", input=b"a note")
    assert (result.result, json.loads(result.output)) == (0, {"tour/last": "a note"})
    assert cluster.kv.get(b"tour/last") == b"a note"
    assert call("api-tour", entry="recall").output == b"a note"


def test_a_tour_has_one_owner_and_counts_who_comes(call: Call, cluster: Cluster):
    assert [call("api-tour", entry="claim", input=name).result for name in (b"Ada", b"Bob")] == [0, -Errno.EAGAIN]
    assert [call("api-tour", entry="count").result for _ in range(3)] == [1, 2, 3]
    cluster.kv.compare_and_set(b"tour/owner", b"Ada", None)
    cluster.kv.compare_and_set(b"tour/count", b"3", None)


def test_a_tour_changes_its_keys_together_and_forgets_what_it_kept(call: Call, cluster: Cluster):
    changes = [{"change": "increment", "key": "tour/count", "by": 4}, {"change": "set", "key": "tour/a", "value": "1"}]
    changed = call("api-tour", entry="change", input=json.dumps(changes).encode())
    assert json.loads(changed.output) == {"results": [4, None]}
    call("api-tour", entry="keep", input=b"a note")
    found = json.loads(call("api-tour", entry="keys").output)["keys"]
    assert [each["key"] for each in found] == ["tour/a", "tour/count", "tour/last"]
    assert call("api-tour", entry="forget").result == 0
    assert call("api-tour", entry="forget").result == -Errno.ENOENT
    for key in (b"tour/a", b"tour/count"):
        cluster.kv.delete(key)


def test_api_tour_publishes_a_module_and_fetches_it_again(call: Call, cluster: Cluster, samples_directory):
    module = (samples_directory / "wat/wasi-write/wasi-write.wasm").read_bytes()
    published = call("api-tour", entry="publish", input=module)
    assert published.output.decode() == cluster.functions.get("wasi-write").blob_id
    assert call("tour/published").output == b"Hello from WASI, in text\n"
    assert call("api-tour", entry="locate", input=b"tour/published").output == published.output
    for name in (b"tour/published", published.output):
        assert call("api-tour", entry="fetch", input=name).output == module


def test_api_tour_stores_a_blob_where_it_may(call: Call, cluster: Cluster, samples_directory):
    module = (samples_directory / "c/api-tour/api-tour.wasm").read_bytes()
    cluster.functions.put("storing-tour", module, Declaration(grants=parse_grants(("register",))))
    result = call("storing-tour", entry="store", input=b"some text")
    cluster.functions.delete("storing-tour")
    assert (result.result, cluster.blobs.read(result.output.decode())) == (0, b"some text")
    assert cluster.blobs.stat(result.output.decode()).content_type == "text/plain"
    assert call("api-tour", entry="store", input=b"other text").result == -Errno.EACCES


def test_api_tour_shouts_by_calling_uppercase(call: Call):
    result = call("api-tour", entry="shout", input=b"hello")
    assert (result.result, result.output) == (0, b"HELLO")


def test_api_tour_looks_around_and_makes_a_backup(call: Call, cluster: Cluster):
    names = [each["name"] for each in json.loads(call("api-tour", entry="look").output)["blob_names"]]
    assert names == [each.name for each in cluster.functions.list()]
    entries = json.loads(call("api-tour", entry="backup").output)
    assert set(entries) >= set(cluster.zarr.list(limit=10_000))


def test_api_tour_says_what_it_was_not_granted(call: Call, cluster: Cluster, samples_directory):
    cluster.functions.put("bare-tour", (samples_directory / "c/api-tour/api-tour.wasm").read_bytes())
    grants = {
        "keep": b"kv:tour/last", "publish": b"register:tour/published", "fetch": b"blob:x", "shout": b"call:uppercase",
        "look": b"status", "backup": b"export",
    }  # fmt: skip
    for entry, grant in grants.items():
        result = call("bare-tour", entry=entry, input=b"x")
        assert (result.result, result.output) == (-Errno.EACCES, b"")
        assert b"has no grant '" + grant + b"'" in result.stderr
    cluster.functions.delete("bare-tour")


@pytest.mark.parametrize(
    ("base", "exponent", "expected"),
    [("2", "10", 1024.0), ("2", "-2", 0.25), ("0", "0", 1.0), ("-3", "3", -27.0), ("1", "-9223372036854775808", 1.0)],
)
def test_power_takes_whole_exponents(call: Call, base: str, exponent: str, expected: float):
    assert call("power", base, exponent).result == expected


def test_interest_calls_power_through_its_import(call: Call, cluster: Cluster):
    assert call("bound-interest", "100", "5", "10", entry="interest").result == pytest.approx(100 * 1.05**10)
    assert call("bound-interest", "7", entry="doubled").result == 11
    assert call("bound-interest", "0", entry="doubled").result == 0
    (imported,) = cluster.functions.get("bound-interest").imports
    assert str(imported) == "power.power(f64, i64) -> (f64)"


# -- join -------------------------------------------------------------------------------------------------------------

Lines = list[tuple[bytes, bytes]]


def join(cluster: Cluster, *inputs: bytes) -> CallResult:
    first, *more = inputs
    return cluster.call_sync(CallRequest("join", input=first, more_inputs=tuple(map(CallInput, more))))


def lines(pairs: Lines) -> bytes:
    return b"".join(key + b"\t" + rest + b"\n" for key, rest in sorted(pairs, key=lambda pair: pair[0]))


KEYS = st.sampled_from([b"", b"a", b"aa", b"b", b"\xff", b"a b"])
PAIRS = st.lists(st.tuples(KEYS, st.sampled_from([b"", b"1", b"x\ty", b"\0"])), max_size=12)


@given(PAIRS, PAIRS)
@settings(max_examples=60, deadline=None)
def test_join_gives_every_pair_of_lines_with_equal_keys(cluster: Cluster, left: Lines, right: Lines):
    left, right = sorted(left, key=lambda pair: pair[0]), sorted(right, key=lambda pair: pair[0])
    expected = [(key, a + b"\t" + b) for key, a in left for other, b in right if key == other]
    result = join(cluster, lines(left), lines(right))
    assert (result.exit_code, result.output, result.stderr) == (0, lines(expected), b"")


@pytest.mark.skipif(shutil.which("join") is None, reason="there is no join")
def test_join_does_what_the_join_of_the_system_does(cluster: Cluster, text: bytes, tmp_path):
    counts = Counter(WORD.findall(text.lower()))
    left = lines([(word, b"%d" % count) for word, count in counts.items()])
    right = lines([(word, word[::-1]) for word in counts if len(word) % 3 == 0])[:-1]
    (tmp_path / "x").write_bytes(left)
    (tmp_path / "y").write_bytes(right)
    done = subprocess.run(
        ["join", "-t", "\t", "x", "y"], cwd=tmp_path, env={"LC_ALL": "C"}, capture_output=True, check=True
    )
    assert join(cluster, left, right).output == done.stdout != b""


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((b"a\n",), b"join: there is no api://input/1: give two inputs\n"),
        ((b"b\na\n", b"c\n"), b"join: line 2 of api://input/0 is not in order: sort it with LC_ALL=C sort\n"),
        ((b"c\n", b"a\nb\na\n"), b"join: line 3 of api://input/1 is not in order: sort it with LC_ALL=C sort\n"),
    ],
)
def test_join_says_what_it_cannot_join(cluster: Cluster, inputs: tuple[bytes, ...], said: bytes):
    result = join(cluster, *inputs)
    assert (result.exit_code, result.stderr) == (2, said)


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


# -- arrays -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def call_array(cluster: Cluster) -> Callable[..., Any]:
    def call_array(name: str, array: Any, *numbers: object, **limits: int) -> Any:
        headers = {"moc-dtype": array.dtype.name, "moc-shape": str(list(array.shape))}
        request = CallRequest(
            name, arguments=tuple(map(str, numbers)), input=array.tobytes(), input_headers=headers, limits=limits
        )
        return cluster.call_sync(request).to_numpy()

    return call_array


def box_blur(array: Any, radius: int) -> Any:
    """Blur as the sample says, with NumPy: the slow way."""
    for axis in (-2, -1):
        windows = [
            array.take(range(max(0, at - radius), min(array.shape[axis], at + radius + 1)), axis)
            .mean(axis, dtype="float64", keepdims=True)
            .astype(array.dtype)
            for at in range(array.shape[axis])
        ]
        array = numpy.concatenate(windows, axis) if windows else array
    return array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 9), (1, 1), (3, 5, 8), (2, 3, 4, 5), (40, 1), (1, 40)])
@pytest.mark.parametrize("radius", [0, 1, 3, 2**31 - 1])
def test_blur_gives_what_numpy_gives(call_array, dtype, shape, radius):
    image = numpy.random.default_rng(4).normal(280, 20, shape).astype(dtype)
    blurred = call_array("blur", image, radius)
    assert (blurred.dtype, blurred.shape) == (image.dtype, image.shape)
    numpy.testing.assert_allclose(blurred, box_blur(image, radius), rtol=2e-7 if dtype == "float32" else 1e-14)
    if radius == 0:
        numpy.testing.assert_array_equal(blurred, image)


def test_blur_spreads_what_is_no_number_no_further_than_its_radius(call_array):
    image = numpy.ones((9, 9))
    image[4, 4] = numpy.nan
    assert numpy.isnan(call_array("blur", image, 1)).sum() == 9


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 3, 4), (2, 0, 0)])
def test_blur_and_mean_of_nothing(call_array, shape):
    empty = numpy.zeros(shape)
    assert call_array("blur", empty, 2).shape == shape
    with numpy.errstate(invalid="ignore"):
        numpy.testing.assert_array_equal(call_array("mean", empty, 0), empty.sum(0) / shape[0] if shape[0] else
                                         numpy.full(shape[1:], numpy.nan))  # fmt: skip


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_mean_leaves_an_axis_out(call_array, dtype, axis):
    array = numpy.random.default_rng(4).integers(0, 100, (3, 4, 5)).astype(dtype)
    found = call_array("mean", array, axis)
    numpy.testing.assert_allclose(found, array.mean(axis, dtype="float64"), rtol=1e-14)


def test_mean_of_one_axis_is_one_number(call_array):
    assert call_array("mean", numpy.arange(5.0), 0) == 2.0


@pytest.mark.parametrize(
    ("name", "array", "number", "message"),
    [
        ("blur", numpy.zeros(5, "float32"), 1, "expected an array of at least 2 axes"),
        ("blur", numpy.zeros((2, 2), "int32"), 1, "expected an array of float32 or float64"),
        ("blur", numpy.zeros((2, 2)), -1, "expected a radius of 0 or more"),
        ("mean", numpy.zeros((2, 2), "complex64"), 0, "expected an array of integers, float32 or float64"),
        ("mean", numpy.zeros((2, 2)), 2, "the array has no such axis"),
        ("mean", numpy.zeros(()), 0, "the array has no such axis"),
    ],
)
def test_blur_and_mean_say_what_they_expect(call_array, name, array, number, message):
    with pytest.raises(GuestStatusError, match="there is no array") as caught:
        call_array(name, array, number)
    assert caught.value.stderr == f"{name}: {message}\n"


def test_blur_without_room_for_its_result_says_so(call_array):
    with pytest.raises(GuestStatusError, match="may have run out of memory") as caught:
        call_array("blur", numpy.zeros((1024, 1024)), 1, memory_bytes=10 << 20)
    assert "see the limit memory_bytes" in caught.value.stderr


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
        assert ("_start" in exports) == (sample["name"] not in DIRECT)

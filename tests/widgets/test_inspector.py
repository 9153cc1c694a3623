"""The inspector of a buffer: what it tells the front end, and what it answers when the front end asks."""

from __future__ import annotations

import json
import math
import threading
from itertools import pairwise
from typing import Any

import numpy
import pytest
import xarray

from comms import Recorder, record_comms
from moc_server_ext.errors import BufferNotFoundError, ServerUnreachableError
from moc_widgets.inspector import InspectorWidget
from moc_widgets.messages import PAGE_BYTES
from moc_widgets.subject import FIRST_BYTES

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360606000000004000"
    "1f61738550000000049454e44ae426082"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
OWN = {"about", "first", "place", "_esm", "_css"}


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    return record_comms(monkeypatch, "about")


@pytest.fixture
def inspect(moc, comms):
    """Store something and open an inspector of it; gives the comm that the front end would have."""

    def open_inspector(content: Any, name: str = "x", **options: Any) -> Recorder:
        moc.buffers.put(name, content, **options)
        InspectorWidget(moc.buffers[name])
        return comms[-1]

    return open_inspector


def ask(comm: Recorder, kind: str, **message: Any) -> dict[str, Any]:
    """Ask and give the answer."""
    count = len([each for each in comm.messages if each["type"] == kind])
    comm.say({"type": kind, "job": 1, **message})
    return comm.wait(kind, count + 1)


def search(comm: Recorder, pattern: bytes, start: int = 0, *, forward: bool = True) -> Any:
    count = len([each for each in comm.messages if each["type"] == "found"])
    comm.say({"type": "search", "job": 1, "pattern": pattern.hex(), "start": str(start), "forward": forward})
    return comm.wait("found", count + 1)["match"]


# -- opening ----------------------------------------------------------------------------------------------------------


def test_it_opens_with_facts_and_the_first_bytes_and_nothing_else_of_the_buffer(inspect):
    comm = inspect(bytes(range(256)) * 1000, "a/ü", content_type="application/x-own", headers={"x-note": "here"})
    state = comm.sent[0]["state"]
    about = state["about"]
    assert (about["name"], about["size"], about["content_type"]) == ("a/ü", "256000", "application/x-own")
    assert about["headers"] == [["x-note", "here"]]
    assert (about["views"], about["view"]) == (["hex", "text", "array"], "hex")
    others = {name for name in state if not name.startswith("_")}
    assert others - OWN <= {"layout", "tabbable", "tooltip"}
    assert comm.sent[0]["bytes"] == [(bytes(range(256)) * 1000)[:FIRST_BYTES]]


@pytest.mark.parametrize(
    ("content", "content_type", "view"),
    [
        (b"", None, "hex"),
        ("caf\u00e9 " * 9000, None, "text"),
        (b"caf\xe9 au lait", "text/plain", "hex"),
        (PNG, None, "image"),
        (SVG, "image/svg+xml", "image"),
        (SVG, "text/plain", "text"),
        (b"\x89", "image/png", "hex"),
        (PNG[:20], "image/png", "hex"),
        (b"\xff\xd8\xff" + bytes(20_000), "image/jpeg", "hex"),
        (b"\xff\xd8\xff" + bytes(20_000) + b"\xff\xd9", None, "image"),
        (numpy.arange(6).reshape(2, 3), None, "array"),
        (numpy.frombuffer(PNG, "u1"), None, "array"),
    ],
)
def test_the_view_that_fits_is_chosen_first(inspect, content, content_type, view):
    about = inspect(content, content_type=content_type).state("about")
    assert about["view"] == view
    assert view in about["views"]
    assert ("image" in about["views"]) == (view == "image")


def test_an_image_comes_whole_with_the_type_that_its_bytes_have(inspect):
    answer = ask(inspect(PNG, content_type="text/html"), "image")
    assert (answer["content_type"], answer["bytes"]) == ("image/png", [PNG])


def test_who_made_it_is_told_with_what_is_still_known_of_the_call(moc, comms):
    put = moc.platform.buffers.put
    put("made", b"abc", origin={"call_id": "unknown", "function": "blur"})
    InspectorWidget(moc.buffers["made"])
    assert comms[-1].state("about")["origin"] == [["call_id", "unknown"], ["function", "blur"]]


@pytest.mark.parametrize("name", ["a/b", "..", "ü" * 128, "<img src=x onerror=alert(1)>", "\u05d0\u05d1 x", "n" * 512])
def test_a_name_of_any_kind_is_told_as_text(inspect, name):
    comm = inspect(b"abc", name)
    assert comm.state("about")["name"] == name
    page = InspectorWidget._static_bundle(comm_widget(comm))["text/html"]
    assert "<img" not in page


def comm_widget(comm: Recorder) -> InspectorWidget:
    from ipywidgets.widgets.widget import _instances

    return _instances[comm.comm_id]


def test_the_script_and_the_style_load_nothing_and_put_no_markup_on_the_page(inspect):
    comm = inspect(b"abc")
    script, style = comm.state("_esm"), comm.state("_css")
    assert "export default" in script
    assert not [
        word for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if word in script
    ]
    shared = script.replace('"http://www.w3.org/2000/svg"', "") + style
    assert not [word for word in ("http:", "https:", "\nimport ", "import(", "@import", "url(") if word in shared]


# -- pages ------------------------------------------------------------------------------------------------------------


def test_pages_come_as_binary_messages_with_their_place(inspect):
    content = bytes(range(251)) * 2000
    comm = inspect(content)
    last = (len(content) - 1) // PAGE_BYTES * PAGE_BYTES
    comm.say({"type": "pages", "wanted": ["70000", str(last), "70001", str(1 << 62)]})
    pages = [comm.wait("page", count) for count in (1, 2, 3)]
    assert [each["start"] for each in pages] == ["65536", str(last), str(1 << 62)]
    assert [each["bytes"] for each in pages] == [
        [content[65536 : 2 * 65536]],
        [content[last:]],
        [b""],
    ]


class Slow:
    """A handle whose reading waits until it is let go on."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.name = handle.name
        self.reads: list[tuple[int, int]] = []
        self.began, self.may_go = threading.Event(), threading.Event()

    @property
    def record(self) -> Any:
        return self._handle.record

    def read(self, start: int, stop: int) -> bytes:
        if start:
            self.reads.append((start, stop))
            self.began.set()
            assert self.may_go.wait(60)
        return self._handle.read(start, stop)


def test_asking_never_waits_and_what_is_wanted_no_more_is_not_read(moc, comms):
    moc.buffers["slow"] = bytes(64 * PAGE_BYTES)
    slow = Slow(moc.buffers["slow"])
    InspectorWidget(slow)
    starts = [str(n * PAGE_BYTES) for n in range(64)]
    comms[-1].say({"type": "pages", "wanted": starts[1:40]})
    assert slow.began.wait(60)
    for first in range(2, 60):
        comms[-1].say({"type": "pages", "wanted": starts[first : first + 3]})
    comms[-1].say({"type": "pages", "wanted": [starts[1], starts[50], starts[51]]})
    slow.may_go.set()
    comms[-1].wait("page", 3)
    # The one that was being read, which is not read again, and the newest list.
    assert [start // PAGE_BYTES for start, _ in slow.reads] == [1, 50, 51]


def test_many_asking_at_once_are_all_answered(inspect):
    content = numpy.arange(1 << 18, dtype="<u4").tobytes()
    comm = inspect(content)

    def work(number: int) -> None:
        for turn in range(20):
            comm.say({"type": "pages", "wanted": [str(PAGE_BYTES * ((number + turn) % 16))]})
            comm.say({"type": "statistics", "job": number, "dtype": "uint32"})
            comm.say({"type": "search", "job": number, "pattern": "00", "start": "9", "forward": bool(turn % 2)})
            comm.say(
                {"type": "line", "job": turn, "axis": "0", "at": ["0"], "start": "0", "stop": "50", "dtype": "uint32"}
            )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    comm.say({"type": "pages", "wanted": ["131072"]})
    comm.say({"type": "statistics", "job": 77, "dtype": "uint32"})
    done = comm.wait("statistics", fits=lambda each: each["job"] == 77 and each["is_done"])
    assert (done["figures"]["count"], done["figures"]["max"]) == (str(1 << 18), str((1 << 18) - 1))
    assert comm.wait("page", fits=lambda each: each["start"] == "131072")["bytes"] == [content[131072:196608]]
    assert not [each for each in comm.messages if each["type"] == "trouble"]


# -- what happens meanwhile -------------------------------------------------------------------------------------------


def test_a_buffer_that_is_deleted_while_it_is_inspected_is_told_and_found_again(moc, inspect):
    comm = inspect(b"first" * 100_000, "fleeting")
    del moc.buffers["fleeting"]
    comm.say({"type": "pages", "wanted": ["65536"]})
    trouble = comm.wait("trouble")
    assert trouble["kind"] == "gone"
    assert "fleeting" in trouble["message"]
    comm.say({"type": "open"})
    assert comm.wait("trouble", 2)["kind"] == "gone"
    moc.buffers["fleeting"] = b"second"
    comm.say({"type": "open"})
    answer = comm.wait("about")
    assert (answer["about"]["size"], answer["bytes"]) == ("6", [b"second"])
    assert comm.state("about")["size"] == "6"


def test_pages_of_a_buffer_that_was_replaced_by_a_smaller_one_are_not_given_out(moc, inspect):
    comm = inspect(b"a" * 200_000, "shrinking")
    moc.buffers["shrinking"] = b"b" * 100_000
    for message in (
        {"type": "pages", "wanted": ["65536"]},
        {"type": "statistics", "job": 1},
        {"type": "search", "job": 1, "pattern": "62", "start": "0", "forward": True},
        {"type": "image"},
        {"type": "line", "job": 1, "axis": "0", "at": ["0"], "start": "0", "stop": "9"},
    ):
        count = len([each for each in comm.messages if each["type"] == "trouble"])
        comm.say(message)
        assert comm.wait("trouble", count + 1)["kind"] == "replaced"
    assert {each["type"] for each in comm.messages} <= {"trouble", "statistics", "searching"}
    comm.say({"type": "open"})
    comm.wait("about")
    comm.say({"type": "pages", "wanted": ["65536"]})
    assert comm.wait("page")["bytes"] == [b"b" * (100_000 - 65536)]


def test_a_server_that_is_away_is_told_in_words_and_asked_again_when_it_is_back(moc, comms):
    moc.buffers["far"] = bytes(200_000)
    away = threading.Event()

    class Far:
        name = "far"

        @property
        def record(self) -> Any:
            if away.is_set():
                raise ServerUnreachableError("https://localhost:1", "nothing listens there")
            return moc.buffers["far"].record

        def read(self, start: int, stop: int) -> bytes:
            return moc.buffers["far"].read(start, stop)

    InspectorWidget(Far())
    away.set()
    comms[-1].say({"type": "pages", "wanted": ["65536"]})
    trouble = comms[-1].wait("trouble")
    assert trouble["kind"] == "unreachable"
    assert "nothing listens there" in trouble["message"]
    away.clear()
    comms[-1].say({"type": "open"})
    assert comms[-1].wait("about")["about"]["size"] == "200000"


def test_a_buffer_that_is_not_there_cannot_be_opened(moc, comms):
    handle = moc.buffers.put("short-lived", b"x") and moc.buffers["short-lived"]
    del moc.buffers["short-lived"]
    with pytest.raises(BufferNotFoundError):
        InspectorWidget(handle)
    assert comms == []


def test_closing_ends_the_work_and_the_widget(moc, comms):
    moc.buffers["closing"] = bytes(20 * PAGE_BYTES)
    slow = Slow(moc.buffers["closing"])
    widget = InspectorWidget(slow)
    comms[-1].say({"type": "pages", "wanted": [str(n * PAGE_BYTES) for n in range(1, 20)]})
    assert slow.began.wait(60)
    widget.close()
    slow.may_go.set()
    assert comms[-1].is_closed
    for each in threading.enumerate():
        if each.name.startswith("moc_inspect"):
            each.join(60)
    assert len(slow.reads) == 1


# -- searching --------------------------------------------------------------------------------------------------------


def test_bytes_are_found_forward_and_backward_and_around_the_ends(inspect):
    content = bytearray(9 << 20)
    places = [5, (4 << 20) - 2, (8 << 20) + 7]
    for each in places:
        content[each : each + 4] = b"\xde\xad\xbe\xef"
    comm = inspect(bytes(content))
    pattern = b"\xde\xad\xbe\xef"
    assert [search(comm, pattern, start)["start"] for start in (0, 6, places[1] + 1)] == [str(each) for each in places]
    around = search(comm, pattern, places[2] + 1)
    assert (around["start"], around["length"], around["wrapped"]) == ("5", 4, True)
    back = [search(comm, pattern, start, forward=False) for start in (len(content), places[2], places[1], places[0])]
    assert [each["start"] for each in back] == [str(each) for each in (places[2], places[1], places[0], places[2])]
    assert [each["wrapped"] for each in back] == [False, False, False, True]
    assert search(comm, b"nowhere") is None


def test_a_search_that_is_stopped_or_replaced_finds_nothing(moc, comms):
    moc.buffers["searched"] = bytes(20 << 20)
    slow = Slow(moc.buffers["searched"])
    InspectorWidget(slow)
    comms[-1].say({"type": "search", "job": 1, "pattern": "ff", "start": "1", "forward": True})
    assert slow.began.wait(60)
    comms[-1].say({"type": "stop", "what": "search"})
    comms[-1].say({"type": "search", "job": 2, "pattern": "00", "start": "3", "forward": True})
    slow.may_go.set()
    assert comms[-1].wait("found")["job"] == 2
    assert [each["job"] for each in comms[-1].messages if each["type"] == "found"] == [2]


# -- arrays -----------------------------------------------------------------------------------------------------------


def plane_of(comm: Recorder, at: list[int], rows: int, columns: int, **more: Any) -> numpy.ndarray:
    answer = ask(comm, "plane", at=[str(each) for each in at], rows=rows, columns=columns, row=0, column=0, **more)
    return numpy.frombuffer(answer["bytes"][0], answer["dtype"]).reshape(answer["height"], answer["width"])


def test_any_plane_of_an_array_comes_as_numpy_has_it(inspect):
    array = numpy.random.default_rng(1).normal(size=(4, 30, 50)).astype("f4")
    comm = inspect(array)
    assert numpy.array_equal(plane_of(comm, [2, 0, 0], 1, 2), array[2])
    assert numpy.array_equal(plane_of(comm, [0, 7, 0], 2, 0), array[:, 7, :].T)


def test_a_plane_that_is_larger_than_a_screen_is_thinned_out(inspect):
    array = numpy.arange(1500 * 700, dtype="u4").reshape(1500, 700)
    comm = inspect(array)
    answer = ask(comm, "plane", at=["0", "0"], rows=0, columns=1, row=0, column=0)
    assert (answer["rows"]["step"], answer["columns"]["step"]) == ("3", "2")
    assert numpy.array_equal(numpy.frombuffer(answer["bytes"][0], "u4").reshape(500, 350), array[::3, ::2])


def test_a_plane_of_many_bytes_is_seen_through_a_window(inspect, monkeypatch):
    monkeypatch.setattr("moc_widgets.elements.WHOLE_PLANE_BYTES", 1000)
    array = numpy.arange(600 * 700, dtype="u4").reshape(600, 700)
    answer = ask(inspect(array), "plane", at=["0", "0"], rows=0, columns=1, row=50, column=10_000)
    assert (answer["rows"], answer["columns"]) == (
        {"start": "50", "stop": "562", "step": "1"},
        {"start": "188", "stop": "700", "step": "1"},
    )
    assert numpy.array_equal(numpy.frombuffer(answer["bytes"][0], "u4").reshape(512, 512), array[50:562, 188:])


def test_bytes_are_looked_at_as_numbers_of_either_byte_order(inspect):
    values = numpy.array([1.5, -2.25, 1e300])
    for order in "<>":
        comm = inspect(values.astype(f"{order}f8").tobytes() + b"rest")
        answer = ask(comm, "line", axis=0, at=[0], start=0, stop=99, dtype="float64", big_endian=order == ">")
        assert numpy.array_equal(numpy.frombuffer(answer["bytes"][0], "<f8"), values)
        assert (answer["stop"], answer["is_outline"]) == ("3", False)


def test_a_long_line_comes_as_its_lows_and_highs(inspect):
    values = numpy.random.default_rng(3).normal(size=100_000)
    values[40_000:41_000] = numpy.nan
    comm = inspect(values)
    comm.say({"type": "line", "job": 1, "axis": "0", "at": ["0"], "start": "0", "stop": "100000"})
    answer = comm.wait("line", fits=lambda each: each["done"] == "100000")
    lows, highs = (numpy.frombuffer(each, "<f8") for each in answer["bytes"])
    edges = [-(-piece * 100_000 // 1024) for piece in range(1025)]
    pieces = [values[start:stop] for start, stop in pairwise(edges)]
    assert numpy.array_equal(lows, [numpy.fmin.reduce(each) for each in pieces], equal_nan=True)
    assert numpy.array_equal(highs, [numpy.fmax.reduce(each) for each in pieces], equal_nan=True)


ARRAYS = {
    "floats": numpy.random.default_rng(2).normal(5, 2, (30, 40)).astype("f4"),
    "nan only": numpy.full((4, 5), numpy.nan),
    "some nan": numpy.array([[1.0, numpy.nan], [numpy.inf, -2.0]]),
    "constant": numpy.full((7, 9), 3, "i8"),
    "complex": numpy.array([[3 + 4j, 0], [1j, 2]]),
    "bool": numpy.eye(5, 6, dtype=bool),
    "large": numpy.array([[2**64 - 1, 1]], "u8"),
    "extremes": numpy.array([[1e308, -1e308]]),
    "half": numpy.array([[65504, 6e-8]], "f2"),
    "empty": numpy.zeros((0, 4), "f4"),
    "one value": numpy.array(2.5),
    "32 dimensions": numpy.ones((1,) * 30 + (2, 3), "i2"),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_of_any_kind_has_figures_a_plane_and_a_page(inspect, comms, array):
    comm = inspect(array)
    comm.say({"type": "statistics", "job": 5})
    figures = comm.wait("statistics", fits=lambda each: each["is_done"])["figures"]
    values = numpy.abs(array).astype("f8") if array.dtype.kind == "c" else array
    known = values[~numpy.isnan(values)] if values.dtype.kind == "f" else values
    finite = values[numpy.isfinite(values)].astype("f8")
    assert figures["count"] == str(array.size)
    assert figures["nans"] == str(array.size - known.size)
    assert figures["infinities"] == str(known.size - finite.size)
    if known.size:
        assert [float(figures[key]) for key in ("min", "max")] == [float(known.min()), float(known.max())]
    else:
        assert figures["min"] is figures["max"] is figures["mean"] is figures["std"] is None
    if finite.size:
        assert math.isclose(float(figures["mean"]), finite.mean(), rel_tol=1e-6, abs_tol=1e-9)
        with numpy.errstate(over="ignore"):
            assert math.isclose(float(figures["std"]), finite.std(), rel_tol=1e-6, abs_tol=1e-9)
    if array.ndim >= 2:
        axes = array.ndim - 2, array.ndim - 1
        shown = plane_of(comm, [0] * array.ndim, *axes)
        assert numpy.array_equal(shown, array.reshape(array.shape[-2:]), equal_nan=array.dtype.kind in "fc")
    bundle = comm_widget(comm)._static_bundle()
    assert array.dtype.name in bundle["text/plain"]
    assert sum(len(each.encode()) for each in bundle.values()) <= 64 << 10
    json.dumps([each for each in comm.messages if not each.pop("bytes", None)], allow_nan=False)


def test_each_array_of_a_group_is_looked_at_and_a_group_without_a_main_one_has_no_bytes(moc, comms):
    weather = xarray.Dataset(
        {"rain": (("day", "place"), numpy.arange(6.0).reshape(2, 3)), "wind": (("day",), numpy.array([7, 9], "i4"))}
    )
    moc.buffers["weather"] = weather
    widget = InspectorWidget(moc.buffers["weather"])
    about = comms[-1].state("about")
    assert (about["views"], about["view"], about["array"]) == (["array"], "array", None)
    assert {each["path"]: each["shape"] for each in about["members"]} == {"rain": ["2", "3"], "wind": ["2"]}
    assert numpy.array_equal(plane_of(comms[-1], [0, 0], 0, 1, member="rain"), weather["rain"])
    comms[-1].say({"type": "statistics", "job": 4, "member": "wind"})
    assert comms[-1].wait("statistics", fits=lambda each: each["is_done"])["figures"]["max"] == "9"
    assert "rain: float64 (2, 3)" in widget.static_page()["text/plain"]


# -- hostile messages -------------------------------------------------------------------------------------------------

HUGE = str(1 << 80)
HOSTILE: list[Any] = [
    None,
    [],
    "open",
    {},
    {"type": None},
    {"type": ["open"]},
    {"type": "__init__"},
    *({"type": kind} for kind in ("pages", "plane", "line", "search", "stop")),
    {"type": "pages", "wanted": "0"},
    {"type": "pages", "wanted": [float("nan")]},
    {"type": "pages", "wanted": ["-1"]},
    {"type": "pages", "wanted": [-1]},
    {"type": "pages", "wanted": [True]},
    {"type": "pages", "wanted": [HUGE]},
    {"type": "pages", "wanted": [1 << 80]},
    {"type": "pages", "wanted": ["\u0661"]},
    {"type": "pages", "wanted": ["0"] * 10_000},
    {"type": "pages", "wanted": [{}]},
    {"type": "search", "job": 1, "pattern": "", "start": "0", "forward": True},
    {"type": "search", "job": 1, "pattern": "f", "start": "0", "forward": True},
    {"type": "search", "job": 1, "pattern": "zz", "start": "0", "forward": True},
    {"type": "search", "job": 1, "pattern": "00" * 5000, "start": "0", "forward": True},
    {"type": "search", "job": 1, "pattern": "00", "start": "-5", "forward": True},
    {"type": "search", "job": 1, "pattern": "00", "start": "0", "forward": "yes"},
    {"type": "search", "job": float("inf"), "pattern": "00", "start": "0", "forward": True},
    {"type": "statistics", "job": 1, "dtype": "object"},
    {"type": "statistics", "job": 1, "dtype": {"a": 1}},
    {"type": "statistics", "job": 1, "member": 7},
    {"type": "statistics", "job": 1, "member": "../../x"},
    {"type": "plane", "job": 1, "rows": 0, "columns": 0, "at": [0, 0], "row": 0, "column": 0},
    {"type": "plane", "job": 1, "rows": 0, "columns": 9, "at": [0, 0], "row": 0, "column": 0},
    {"type": "plane", "job": 1, "rows": 0, "columns": 1, "at": [0] * 33, "row": 0, "column": 0},
    {"type": "plane", "job": 1, "rows": 0, "columns": 1, "at": [0, 0, 0], "row": 0, "column": 0},
    {"type": "line", "job": 1, "axis": 0, "at": [0], "start": 9, "stop": 3},
    {"type": "line", "job": 1, "axis": 0, "at": [10**15], "start": 0, "stop": 3},
    {"type": "stop", "what": "pages"},
    {"type": "stop", "what": ["search"]},
]


@pytest.mark.parametrize("message", HOSTILE, ids=lambda message: repr(message)[:60])
def test_a_message_that_makes_no_sense_is_refused_in_words_or_means_nothing(inspect, message):
    comm = inspect(bytes(1000))
    comm.say(message)
    comm.say({"type": "pages", "wanted": ["0"]})
    assert comm.wait("page")["bytes"] == [bytes(1000)]
    for lane in comm_widget(comm)._inspection._lanes.values():
        finished = threading.Event()
        lane.put(lambda _, finished=finished: finished.set())
        assert finished.wait(60)
    others = [each for each in comm.messages if each["type"] != "page"]
    assert [each["type"] for each in others] in ([], ["trouble"])
    assert all(each["kind"] in ("refused", "failed") and each["message"] for each in others)


# -- its place in the notebook ----------------------------------------------------------------------------------------


def test_a_front_end_without_widgets_gets_the_first_page(inspect):
    comm = inspect("Hello, <b>world</b>", "greeting")
    data, _ = comm_widget(comm)._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == comm.comm_id
    assert "Hello, &lt;b&gt;world" in data["text/html"]
    assert data["text/plain"].startswith("buffer 'greeting': 19 bytes")


@pytest.mark.parametrize("is_early", [False, True])
def test_what_was_shown_becomes_a_static_page_with_a_mark_when_the_front_end_asks(moc, comms, is_early):
    moc.buffers["placed"] = b"placed content"
    shown: list[tuple[dict[str, Any], bool]] = []
    widget = InspectorWidget(moc.buffers["placed"], lambda data, metadata, is_update: shown.append((data, is_update)))
    if is_early:
        comms[-1].say({"type": "place"})
        assert shown == []
    widget.show()
    comms[-1].say({"type": "place"})
    comms[-1].say({"type": "place"})
    (first, is_first_update), (page, is_update) = shown
    assert (is_first_update, is_update) == (False, True)
    assert first["application/vnd.jupyter.widget-view+json"]["model_id"] == comms[-1].comm_id
    assert set(page) == {"text/html", "text/plain"}
    assert f'id="moc-{comms[-1].state("place")}"' in page["text/html"]
    assert "placed content" in page["text/html"]


def test_a_widget_that_nobody_placed_has_no_mark_and_stays_one(inspect):
    comm = inspect(b"abc")
    assert comm.state("place") == ""
    comm.say({"type": "place"})
    assert comm.messages == []
    with pytest.raises(TypeError):
        comm_widget(comm).show()

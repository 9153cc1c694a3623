"""The contract of :class:`moc_server_ext.abc.Buffers`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import Buffers
from ..arrays.document import group_document
from ..errors import BufferNotFoundError, InvalidInputError, NoBytesError
from ..model import ArraySpec, parse_array
from ..storage.nodes import Facts, array_node_document
from .blobs import SIZES, failing_parts, in_parts, patterned, ranges

NAMES = (
    "a", "a/b", "a/b/c/0", "a b", "ä €", ".", "..", "...", ".zgroup", "__x", "zarr.json", "c", "100%", "%2F", "a%2Fb",
    "/", "//a", "a?b#c&d=e", "*[?]", "x" * 512,
)  # fmt: skip


# dtype, shape, chunks: runs of the array's bytes and other grids, with and without chunks that are filled up.
ARRAYS = (
    ("float32", (7, 5, 6), None), ("float32", (7, 5, 6), (2, 5, 6)), ("float32", (7, 5, 6), (1, 2, 6)),
    ("int16", (7, 5, 6), (3, 2, 4)), ("complex128", (9, 4), (20, 30)), ("bool", (100,), (7,)),
    ("uint8", (100_003,), (70_000,)), ("float64", (), None), ("int64", (0,), None), ("int8", (3, 0, 4), (2, 1, 3)),
    ("float16", (1,) * 32, None), ("uint16", (300, 400), (150, 299)), ("int32", (1, 10), (4, 3)),
)  # fmt: skip


def elements(array: ArraySpec) -> bytes:
    """Make the bytes of an array of which each differs from its neighbours."""
    content = patterned(array.nbytes)
    return bytes(each & 1 for each in content) if array.dtype == "bool" else content


def node_of(array: ArraySpec, content: bytes) -> list[tuple[str, bytes]]:
    """Give the keys and values of an array of one chunk."""
    return [("c/0", content), ("zarr.json", array_node_document(array, Facts()))]


class BuffersContract:
    """Behaviour that all stored buffers share; subclasses supply the fixture ``buffers``, empty at first."""

    @pytest.mark.parametrize("size", SIZES)
    def test_content_comes_back_byte_for_byte(self, buffers: Buffers, size: int) -> None:
        content = patterned(size)
        record = buffers.put("x", content, "text/plain", {"etag": "1"})
        assert (record.name, record.size, record.content_type, record.headers) == (
            "x",
            size,
            "text/plain",
            {"etag": "1"},
        )
        assert buffers.read("x") == content
        assert buffers.stat("x") == record

    @pytest.mark.parametrize("size", [0, 1, 100_000, 4 << 20, (4 << 20) + 1, 9_000_000])
    def test_compressed_bytes_come_back_byte_for_byte(self, buffers: Buffers, size: int) -> None:
        content = patterned(size)
        parts = [content[begin : begin + 1_000_000] for begin in range(0, size, 1_000_000)]
        for given in (content, iter(parts)):
            record = buffers.put("x", given, "text/plain", {"etag": "1"}, compression="zstd")
            assert (record.size, record.content_type, record.headers) == (size, "text/plain", {"etag": "1"})
            assert record.array is None
            assert buffers.stat("x") == record
            assert buffers.read("x") == content
            assert b"".join(buffers.parts("x")) == content
            for begin, end in ((0, 10), (size - 7, size), ((4 << 20) - 5, (4 << 20) + 5), (size, size + 5)):
                begin, end = max(begin, 0), max(end, 0)
                assert buffers.read("x", begin, end) == content[begin:end]

    @pytest.mark.parametrize(("dtype", "shape", "chunks"), ARRAYS)
    def test_compressed_arrays_are_the_same_arrays(
        self, buffers: Buffers, dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...] | None
    ) -> None:
        array = parse_array(dtype, shape, chunks)
        content = elements(array)
        record = buffers.put("x", iter([content[:5], content[5:]]), array=array, compression="zstd")
        assert record == buffers.stat("x")
        assert record.array == array
        assert buffers.read("x") == content
        middle = len(content) // 2
        assert buffers.read("x", middle, middle + 9) == content[middle : middle + 9]

    def test_an_unknown_compression_names_what_there_is_and_changes_nothing(self, buffers: Buffers) -> None:
        buffers.put("x", b"old")
        for compression in ("gzip", "ZSTD", ""):
            with pytest.raises(InvalidInputError, match="'zstd'"):
                buffers.put("x", b"new", compression=compression)
        assert buffers.read("x") == b"old"

    def test_too_large_chunks_are_not_compressed(self, buffers: Buffers) -> None:
        array = parse_array("uint8", (1 << 29,), (1 << 29,))
        with pytest.raises(InvalidInputError, match="268,435,456"):
            buffers.put("x", iter([b"begun"]), array=array, compression="zstd")
        assert buffers.list() == []

    @pytest.mark.parametrize("old", SIZES)
    @pytest.mark.parametrize("new", SIZES)
    def test_a_second_put_replaces_all_of_the_first(self, buffers: Buffers, old: int, new: int) -> None:
        buffers.put("x", b"\xff" * old, "text/plain", {"old": "1"})
        record = buffers.put("x", patterned(new))
        assert buffers.read("x") == patterned(new)
        assert buffers.stat("x") == record
        assert record.headers == {}
        assert [each.name for each in buffers.list()] == ["x"]

    def test_any_name_is_a_name_of_its_own(self, buffers: Buffers) -> None:
        for name in NAMES:
            buffers.put(name, name.encode())
        assert {name: buffers.read(name) for name in NAMES} == {name: name.encode() for name in NAMES}
        assert [each.name for each in buffers.list()] == sorted(NAMES)

    def test_deleting_removes_one_name_only(self, buffers: Buffers) -> None:
        for name in ("a", "a/b"):
            buffers.put(name, b"1")
        buffers.delete("a")
        assert [each.name for each in buffers.list()] == ["a/b"]
        with pytest.raises(BufferNotFoundError):
            buffers.read("a")
        with pytest.raises(BufferNotFoundError):
            buffers.delete("a")

    @pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "a\0b", "x" * 513])
    def test_what_cannot_be_a_name_is_refused_and_nothing_is_stored(self, buffers: Buffers, name: str) -> None:
        with pytest.raises(InvalidInputError):
            buffers.put(name, b"1")
        with pytest.raises(InvalidInputError):
            buffers.put(name, iter([b"1"]))
        assert list(buffers.list()) == []

    @pytest.mark.parametrize("size", SIZES)
    def test_a_range_is_half_open_and_cut_off_at_the_end(self, buffers: Buffers, size: int) -> None:
        content = patterned(size)
        buffers.put("x", content)
        for start, stop in ranges(size):
            assert buffers.read("x", start, stop) == content[start:stop], (start, stop)

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("part_bytes", [1000, 65_536, 400_000])
    def test_content_may_come_and_go_in_parts(self, buffers: Buffers, size: int, part_bytes: int) -> None:
        content = patterned(size)
        buffers.put("x", b"before" * 20_000)
        record = buffers.put("x", in_parts(content, part_bytes), "text/plain", {"etag": "1"})
        assert (record.size, record.content_type, record.headers) == (size, "text/plain", {"etag": "1"})
        assert buffers.stat("x") == record
        for start, stop in [(0, None), *ranges(size)]:
            assert b"".join(buffers.parts("x", start, stop)) == content[start:stop], (start, stop)

    @pytest.mark.parametrize("size", [10, 700_000])
    def test_parts_that_fail_change_nothing(self, buffers: Buffers, size: int) -> None:
        for name, before in (("x", b"before"), ("y", None)):
            if before is not None:
                buffers.put(name, before)
            with pytest.raises(InterruptedError, match="no more parts"):
                buffers.put(name, failing_parts(size))
        assert buffers.read("x") == b"before"
        assert [each.name for each in buffers.list()] == ["x"]

    def test_parts_are_all_of_one_version(self, buffers: Buffers) -> None:
        content = patterned(1_000_003)
        for replace in (lambda: buffers.put("x", bytes(900_000)), lambda: buffers.delete("x")):
            buffers.put("x", content)
            parts = buffers.parts("x")
            first = next(parts)
            assert len(first) < len(content)
            replace()
            assert first + b"".join(parts) == content

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1)])
    def test_a_negative_offset_is_refused(self, buffers: Buffers, start: int, stop: int | None) -> None:
        buffers.put("x", b"12345")
        with pytest.raises(InvalidInputError):
            buffers.read("x", start, stop)

    def test_the_error_for_a_missing_buffer_names_the_nearest(self, buffers: Buffers) -> None:
        buffers.put("topics", b"1")
        with pytest.raises(BufferNotFoundError, match="topics") as caught:
            buffers.stat("topcis")
        assert caught.value.details["nearest"] == ["topics"]

    def test_header_names_come_back_in_lower_case(self, buffers: Buffers) -> None:
        buffers.put("x", b"1", headers={"X-Colour": "Blue €"})
        assert buffers.stat("x").headers == {"x-colour": "Blue €"}

    @pytest.mark.parametrize(("dtype", "shape", "chunks"), ARRAYS)
    @pytest.mark.parametrize("part_bytes", [0, 1000])
    def test_an_array_comes_back_element_by_element(
        self, buffers: Buffers, dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...] | None, part_bytes: int
    ) -> None:
        array = parse_array(
            dtype, shape, chunks, dimension_names=[None] * len(shape), attributes={"units": "K", "range": [1, None]}
        )
        content = elements(array)
        buffers.put("x", b"before" * 50_000)
        record = buffers.put(
            "x",
            in_parts(content, part_bytes) if part_bytes else memoryview(content),
            "application/x-test",
            {"A": "b"},
            array=array,
            origin={"call_id": "7", "function": "f"},
        )
        assert (record.array, record.size, record.content_type) == (array, len(content), "application/x-test")
        assert (record.headers, record.origin) == ({"a": "b"}, {"call_id": "7", "function": "f"})
        assert buffers.stat("x") == record
        assert list(buffers.list()) == [record]
        assert buffers.read("x") == b"".join(buffers.parts("x")) == content
        for start, stop in ranges(len(content)):
            assert buffers.read("x", start, stop) == content[start:stop], (start, stop)
            assert b"".join(buffers.parts("x", start, stop)) == content[start:stop], (start, stop)

    @pytest.mark.parametrize("chunks", [None, (2, 3)])
    @pytest.mark.parametrize("size", [0, 1, 47, 49, 1000])
    @pytest.mark.parametrize("in_pieces", [False, True])
    def test_bytes_that_do_not_make_up_the_array_change_nothing(
        self, buffers: Buffers, chunks: tuple[int, ...] | None, size: int, in_pieces: bool
    ) -> None:
        array = parse_array("int32", [3, 4], chunks)
        for name in ("x", "y"):
            if name == "x":
                buffers.put(name, b"before")
            with pytest.raises(InvalidInputError):
                buffers.put(name, in_parts(bytes(size), 10) if in_pieces else bytes(size), array=array)
        assert buffers.read("x") == b"before"
        assert [each.name for each in buffers.list()] == ["x"]

    def test_what_replaces_an_array_leaves_nothing_of_it(self, buffers: Buffers) -> None:
        array = parse_array("int32", [100, 4], [1, 4])

        def put_anew() -> None:
            buffers.delete("x")
            buffers.put("x", bytes(1600), array=array)

        for replace in (
            lambda: buffers.put("x", b"bytes"),
            lambda: buffers.put("x", bytes(16), array=parse_array("int32", [4])),
            put_anew,
        ):
            buffers.put("x", elements(array), array=array)
            replace()
            assert elements(array)[100:200] not in buffers.read("x")
            assert buffers.stat("x").size == len(buffers.read("x"))

    @pytest.mark.parametrize("chunks", [(4, 3), (4, 2), (1, 3), (100, 100)])
    @pytest.mark.parametrize("rows", [0, 1, 4, 9])
    def test_an_array_grows_along_its_first_axis(self, buffers: Buffers, chunks: tuple[int, ...], rows: int) -> None:
        first = parse_array("int16", [rows, 3], chunks, attributes={"units": "K"})
        content = elements(first)
        before = buffers.put("x", content, "application/x-test", {"a": "b"}, array=first)
        for added in (0, 1, 3, 7):
            more = parse_array("int16", [added, 3])
            expected = content + elements(more)
            record = buffers.append("x", iter([elements(more)]) if added == 3 else elements(more), more)
            content = expected
            assert record.array is not None
            assert (record.array.shape, record.array.chunks) == ((len(content) // 6, 3), chunks)
            assert (record.content_type, record.headers, record.array.attributes) == (
                before.content_type,
                before.headers,
                {"units": "K"},
            )
            assert buffers.stat("x") == record
            assert buffers.read("x") == content

    @pytest.mark.parametrize(
        ("dtype", "shape", "size"),
        [("int32", [2, 3], 24), ("int16", [2, 4], 16), ("int16", [3], 6), ("int16", [], 2), ("int16", [2, 3], 11),
         ("int16", [2, 3], 13)],
    )  # fmt: skip
    def test_what_does_not_fit_is_not_appended(self, buffers: Buffers, dtype: str, shape: list[int], size: int) -> None:
        array = parse_array("int16", [5, 3])
        buffers.put("x", elements(array), array=array)
        for content in (bytes(size), iter([bytes(size)])):
            with pytest.raises(InvalidInputError):
                buffers.append("x", content, parse_array(dtype, shape))
        assert buffers.read("x") == elements(array)

    def test_only_an_array_is_appended_to(self, buffers: Buffers) -> None:
        more = parse_array("uint8", [1])
        buffers.put("bytes", b"12345")
        buffers.put("element", b"1", array=parse_array("uint8", []))
        for name in ("bytes", "element"):
            with pytest.raises(InvalidInputError):
                buffers.append(name, b"6", more)
        with pytest.raises(BufferNotFoundError):
            buffers.append("missing", b"6", more)

    def test_a_whole_zarr_group_comes_back_with_its_arrays(self, buffers: Buffers) -> None:
        t, x = parse_array("float32", [6]), parse_array("int64", [3], dimension_names=["x"])
        entries = [("zarr.json", group_document({"title": "t"}))]
        entries += [(f"t/{key}", value) for key, value in node_of(t, elements(t))]
        entries += [(f"x/{key}", value) for key, value in node_of(x, elements(x))]
        buffers.put("g", b"before" * 50_000)
        record = buffers.put_zarr("g", iter(entries), origin={"run_id": "1"})
        assert buffers.stat("g") == record
        assert (record.array, record.arrays, record.size) == (None, {"t": t, "x": x}, 48)
        assert record.origin == {"run_id": "1"}
        with pytest.raises(NoBytesError, match="t, x"):
            buffers.read("g")
        entries[0] = ("zarr.json", group_document({"moc": {"main": "x", "content_type": "application/x-test"}}))
        record = buffers.put_zarr("g", entries)
        assert buffers.stat("g") == record
        assert (record.array, record.size, record.content_type) == (x, 24, "application/x-test")
        assert buffers.read("g") == elements(x)
        buffers.delete("g")
        assert list(buffers.list()) == []

    @pytest.mark.parametrize(
        "entries",
        [
            [],
            [("zarr.json", b"")],
            [("zarr.json", b"[]")],
            [("zarr.json", b'{"zarr_format": 2}')],
            [("zarr.json", b"[" * 100_000)],
            [(".zarray", b"{}")],
            [("a/zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("c/0", b"1")],
            [("zarr.json", group_document({})), ("a/b/zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("../zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("/zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("a//zarr.json", group_document({}))],
            [("zarr.json", group_document({})), ("a\0/zarr.json", group_document({}))],
            [("zarr.json", group_document({"moc": {"main": "nothing"}}))],
            [*node_of(parse_array("int8", [4]), b"1234"), ("c/1", b"1234")],
            [*node_of(parse_array("int8", [4]), b"1234"), ("c/00", b"1234")],
            [*node_of(parse_array("int8", [4]), b"1234"), ("c", b"1234")],
            [*node_of(parse_array("int8", [4]), b"1234"), ("a/zarr.json", group_document({}))],
            node_of(parse_array("int8", [4]), b"12345"),
        ],
        ids=str,
    )
    def test_what_is_no_zarr_node_is_refused_and_nothing_is_changed(
        self, buffers: Buffers, entries: list[tuple[str, bytes]]
    ) -> None:
        buffers.put("x", b"before")
        for name in ("x", "y"):
            with pytest.raises(InvalidInputError):
                buffers.put_zarr(name, entries)
        assert buffers.read("x") == b"before"
        assert [each.name for each in buffers.list()] == ["x"]

    @pytest.mark.parametrize("chunks", [(50, 1000), (70, 300)])
    def test_readers_of_an_array_see_one_version_while_it_is_replaced(
        self, buffers: Buffers, chunks: tuple[int, ...]
    ) -> None:
        array = parse_array("uint8", [200, 1000], chunks)
        contents = [bytes([number]) * array.nbytes for number in range(3)]
        buffers.put("x", contents[0], array=array)
        parts = buffers.parts("x")
        first = next(parts)
        over = threading.Event()

        def read() -> int:
            reads = 0
            while not over.is_set() or not reads:
                assert b"".join(buffers.parts("x")) in contents
                reads += 1
            return reads

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for turn in range(1, 20):
                    buffers.put("x", contents[turn % 3], array=array)
            finally:
                over.set()
            assert all(reader.result() for reader in readers)
        assert first + b"".join(parts) == contents[0]

    def test_readers_see_a_whole_buffer_while_it_is_replaced(self, buffers: Buffers) -> None:
        contents = [bytes([number]) * size for number, size in enumerate((10, 100_000, 200_000))]
        buffers.put("x", contents[0])
        over = threading.Event()

        def read() -> int:
            reads = 0
            while not over.is_set() or not reads:
                assert buffers.read("x") in contents
                reads += 1
            return reads

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for turn in range(40):
                    buffers.put("x", contents[turn % 3])
            finally:
                over.set()
            assert all(reader.result() for reader in readers)

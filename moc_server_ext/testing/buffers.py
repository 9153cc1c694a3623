"""The contract of :class:`moc_server_ext.abc.Buffers`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import Buffers
from ..errors import BufferNotFoundError, InvalidInputError
from .blobs import SIZES, failing_parts, in_parts, patterned, ranges

NAMES = (
    "a", "a/b", "a/b/c/0", "a b", "ä €", ".", "..", "...", ".zgroup", "__x", "zarr.json", "c", "100%", "%2F", "a%2Fb",
    "/", "//a", "a?b#c&d=e", "*[?]", "x" * 512,
)  # fmt: skip


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

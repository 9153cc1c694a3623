"""The contract of :class:`moc_server_ext.abc.Buffers` for open logs, and for copying and renaming."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import Buffers
from ..arrays.document import group_document
from ..errors import BufferNotFoundError, ConflictError, InvalidInputError, LogNotFoundError
from ..model import parse_array
from .blobs import failing_parts, in_parts, patterned
from .buffers import NAMES, elements, node_of

PART_SIZES = (1, 65_536, 65_537, 0, 400_000, 3)


class LogsContract:
    """Behaviour that open logs share; subclasses supply the fixture ``buffers``, empty at first."""

    @pytest.mark.parametrize("in_pieces", [False, True])
    def test_a_sealed_log_is_all_that_was_appended_in_order(self, buffers: Buffers, in_pieces: bool) -> None:
        content = b""
        with buffers.open_log("x", "text/plain", {"A": "b"}, origin={"call_id": "7"}) as log:
            for size in PART_SIZES:
                part = patterned(size)
                content += part
                assert log.append(in_parts(part, 1000) if in_pieces else memoryview(part)) == len(content)
            assert (log.record.size, log.record.parts) == (len(content), 5)
            assert list(buffers.list()) == []
        record = buffers.stat("x")
        assert (record.size, record.content_type, record.headers) == (len(content), "text/plain", {"a": "b"})
        assert record.origin == {"call_id": "7"}
        assert buffers.read("x") == content
        assert list(buffers.logs()) == []

    @pytest.mark.parametrize("sizes", [(), (10, 20), (70_000,)])
    def test_a_buffer_of_the_name_stays_until_the_log_is_sealed(self, buffers: Buffers, sizes: tuple[int, ...]) -> None:
        buffers.put("x", b"before" * 20_000, headers={"old": "1"})
        log = buffers.open_log("x")
        for size in sizes:
            log.append(patterned(size))
        assert buffers.read("x") == b"before" * 20_000
        record = log.seal()
        assert buffers.stat("x") == record
        assert (buffers.read("x"), record.headers) == (b"".join(map(patterned, sizes)), {})

    def test_a_block_that_raises_leaves_the_log_open_to_be_resumed(self, buffers: Buffers) -> None:
        def fail() -> None:
            with buffers.open_log("x") as log:
                log.append(b"12")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with pytest.raises(BufferNotFoundError):
            buffers.stat("x")
        with buffers.resume_log("x") as log:
            assert log.append(b"3") == 3
        assert buffers.read("x") == b"123"

    def test_one_log_of_a_name_is_open_at_a_time(self, buffers: Buffers) -> None:
        log = buffers.open_log("x")
        log.append(b"1")
        with pytest.raises(ConflictError):
            buffers.open_log("x")
        assert buffers.log("x").size == 1
        log.abandon()
        assert buffers.open_log("x").record.size == 0

    def test_the_first_part_begins_a_log_and_says_what_it_is(self, buffers: Buffers) -> None:
        assert buffers.append_log("x", b"1", "text/plain", {"a": "b"}) == 1
        assert buffers.append_log("x", b"23", "text/csv") == 3
        record = buffers.seal_log("x")
        assert (record.content_type, record.headers, buffers.read("x")) == ("text/plain", {"a": "b"}, b"123")

    def test_a_log_that_has_ended_is_not_appended_to_under_its_name(self, buffers: Buffers) -> None:
        for name in ("sealed", "abandoned"):
            log = buffers.open_log(name)
            log.append(b"1")
            log.seal() if name == "sealed" else log.abandon()
            for end in (log.seal, log.abandon, lambda log=log: log.append(b"2"), lambda log=log: log.record):
                with pytest.raises(LogNotFoundError):
                    end()
            other = buffers.open_log(name)
            for end in (log.seal, log.abandon, lambda log=log: log.append(b"2")):
                with pytest.raises(LogNotFoundError):
                    end()
            assert other.record.size == 0

    def test_a_part_with_an_offset_is_appended_once(self, buffers: Buffers) -> None:
        log = buffers.open_log("x")
        assert log.append(b"123", offset=0) == 3
        with pytest.raises(ConflictError) as caught:
            log.append(b"123", offset=0)
        assert caught.value.details["size"] == 3
        assert log.append(b"45", offset=3) == 5
        with pytest.raises(InvalidInputError):
            buffers.append_log("x", b"6", offset=5)
        log.seal()
        assert buffers.read("x") == b"12345"

    @pytest.mark.parametrize("size", [10, 700_000])
    def test_a_part_that_fails_appends_nothing(self, buffers: Buffers, size: int) -> None:
        log = buffers.open_log("x")
        log.append(b"1")
        with pytest.raises(InterruptedError, match="no more parts"):
            log.append(failing_parts(size))
        assert (log.record.size, log.record.parts) == (1, 1)

    def test_parts_of_several_threads_come_each_as_a_whole(self, buffers: Buffers) -> None:
        log = buffers.open_log("x")
        parts = [bytes([number]) * (70_000 if number % 8 == 0 else 100) for number in range(40)]
        with ThreadPoolExecutor(4) as pool:
            sizes = list(pool.map(log.append, parts))
        log.seal()
        found = buffers.read("x")
        assert len(set(sizes)) == len(parts)
        for part, size in zip(parts, sizes, strict=True):
            assert found[size - len(part) : size] == part

    def test_any_name_has_a_log_of_its_own(self, buffers: Buffers) -> None:
        for name in NAMES:
            buffers.append_log(name, name.encode())
            buffers.append_log(name, b"!")
        assert [(each.name, each.size, each.parts) for each in buffers.logs()] == [
            (name, len(name.encode()) + 1, 2) for name in sorted(NAMES)
        ]
        for name in NAMES:
            buffers.seal_log(name)
        assert {name: buffers.read(name) for name in NAMES} == {name: name.encode() + b"!" for name in NAMES}
        assert list(buffers.logs()) == []

    @pytest.mark.parametrize("name", ["", " x", "a\0b", "x" * 513])
    def test_what_cannot_be_a_name_has_no_log_and_is_no_copy(self, buffers: Buffers, name: str) -> None:
        buffers.put("y", b"1")
        for refused in (
            lambda: buffers.open_log(name),
            lambda: buffers.append_log(name, b"1"),
            lambda: buffers.seal_log(name),
            lambda: buffers.log(name),
            lambda: buffers.abandon_log(name),
            lambda: buffers.copy("y", name),
            lambda: buffers.rename("y", name),
        ):
            with pytest.raises(InvalidInputError):
                refused()
        assert list(buffers.logs()) == []
        assert [each.name for each in buffers.list()] == ["y"]

    @pytest.mark.parametrize("chunks", [None, (4, 2), (2, 3)])
    def test_a_log_of_an_array_has_the_rows_that_were_appended(
        self, buffers: Buffers, chunks: tuple[int, ...] | None
    ) -> None:
        rows = parse_array("int16", [0, 3], chunks, dimension_names=["t", "x"], attributes={"units": "K"})
        whole = parse_array("int16", [50, 3], chunks, dimension_names=["t", "x"], attributes={"units": "K"})
        content = elements(whole)
        log = buffers.open_log("x", array=rows)
        log.append(content[:7])
        with pytest.raises(ConflictError):
            log.seal()
        assert log.record.array is not None
        assert log.record.array.shape == (1, 3)
        log.append(content[7:])
        record = log.seal()
        assert (record.array, buffers.read("x")) == (whole, content)

    @pytest.mark.parametrize("shape", [[], [3, 0]])
    def test_an_array_without_rows_has_no_log(self, buffers: Buffers, shape: list[int]) -> None:
        with pytest.raises(InvalidInputError):
            buffers.open_log("x", array=parse_array("int16", shape))
        assert list(buffers.logs()) == []

    # -- copying and renaming -----------------------------------------------------------------------------------------

    def put_all(self, buffers: Buffers) -> list[str]:
        """Store a buffer of each kind, small and large."""
        array = parse_array("int32", [100, 400], [50, 400], attributes={"units": "K"})
        buffers.put("small", b"1", "text/plain", {"a": "b"})
        buffers.put("large", patterned(200_000), origin={"call_id": "7"})
        buffers.put("array", elements(array), array=array)
        entries = [("zarr.json", group_document({"moc": {"main": "t", "content_type": "application/x-test"}}))]
        entries += [(f"t/{key}", value) for key, value in node_of(array, b"")[1:]]
        entries += [(f"t/c/{row}/0", elements(array)[row * 80_000 : (row + 1) * 80_000]) for row in range(2)]
        buffers.put_zarr("group", entries)
        return ["small", "large", "array", "group"]

    def test_a_copy_has_all_but_the_name_and_the_time(self, buffers: Buffers) -> None:
        for name in self.put_all(buffers):
            before, content = buffers.stat(name), buffers.read(name)
            record = buffers.copy(name, f"a/copy of {name}")
            assert buffers.stat(record.name) == record
            assert record.created_at >= before.created_at
            body = {**record.to_json(), "name": name, "created_at": before.created_at}
            assert body == before.to_json()
            assert buffers.read(record.name) == buffers.read(name) == content
            assert buffers.stat(name) == before

    def test_a_renamed_buffer_has_all_but_the_name(self, buffers: Buffers) -> None:
        for name in self.put_all(buffers):
            before, content = buffers.stat(name), buffers.read(name)
            record = buffers.rename(name, f"{name}/0")
            assert {**record.to_json(), "name": name} == before.to_json()
            assert buffers.stat(record.name) == record
            assert buffers.read(record.name) == content
            with pytest.raises(BufferNotFoundError):
                buffers.stat(name)

    def test_what_is_there_is_replaced_only_when_that_is_said(self, buffers: Buffers) -> None:
        for relocate in (buffers.copy, buffers.rename):
            buffers.put("x", patterned(100_000))
            buffers.put("y", b"before" * 20_000)
            with pytest.raises(ConflictError):
                relocate("x", "y")
            assert (buffers.read("x"), buffers.read("y")) == (patterned(100_000), b"before" * 20_000)
            relocate("x", "y", overwrite=True)
            assert buffers.read("y") == patterned(100_000)

    def test_what_is_not_there_or_stays_where_it_is_is_neither_copied_nor_renamed(self, buffers: Buffers) -> None:
        buffers.put("x", b"1")
        for relocate in (buffers.copy, buffers.rename):
            with pytest.raises(BufferNotFoundError):
                relocate("y", "z")
            with pytest.raises(BufferNotFoundError):
                relocate("y", "x", overwrite=True)
            with pytest.raises(InvalidInputError):
                relocate("x", "x", overwrite=True)
        assert buffers.read("x") == b"1"

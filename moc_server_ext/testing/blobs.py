"""The contract of :class:`moc_server_ext.abc.Blobs`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import Blobs, Bytes
from ..errors import BlobNotFoundError, InvalidInputError
from ..model import BlobRecord

SIZES = (0, 1, 65_536, 65_537, 1_000_003)


def patterned(size: int) -> bytes:
    """Make `size` bytes in which every position can be told from its neighbours."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def ranges(size: int) -> list[tuple[int, int | None]]:
    """Give ranges that begin and end before, at and behind the end of `size` bytes."""
    return [(0, 0), (0, 10), (3, None), (size // 2, size + 9), (size, size + 1), (size + 5, None), (7, 3)]


def in_parts(content: bytes, part_bytes: int = 70_000) -> Iterator[bytes]:
    """Give `content` in parts."""
    return (content[each : each + part_bytes] for each in range(0, len(content), part_bytes))


def failing_parts(size: int) -> Iterator[bytes]:
    """Give `size` bytes and then fail."""
    yield from in_parts(patterned(size))
    raise InterruptedError("no more parts")


class BlobsContract:
    """Behaviour that all blobs share; subclasses supply the fixture ``blobs``, empty at first."""

    @pytest.mark.parametrize("size", SIZES)
    def test_content_comes_back_byte_for_byte_under_its_sha256(self, blobs: Blobs, size: int) -> None:
        content = patterned(size)
        record = blobs.put(content, "text/x-test")
        assert record == BlobRecord(hashlib.sha256(content).hexdigest(), size, "text/x-test")
        assert blobs.read(record.blob_id) == content
        assert blobs.stat(record.blob_id) == record

    def test_putting_twice_gives_the_same_record(self, blobs: Blobs) -> None:
        assert blobs.put(b"twice", "text/plain") == blobs.put(b"twice", "text/plain")

    def test_a_second_content_type_replaces_the_first(self, blobs: Blobs) -> None:
        blob_id = blobs.put(b"typed", "text/plain").blob_id
        assert blobs.put(b"typed", "text/html").content_type == "text/html"
        assert blobs.stat(blob_id).content_type == "text/html"
        assert blobs.read(blob_id) == b"typed"

    @pytest.mark.parametrize("make", [bytearray, memoryview, lambda content: memoryview(content)[::1]])
    def test_every_kind_of_bytes_is_taken(self, blobs: Blobs, make: type[Bytes]) -> None:
        record = blobs.put(make(b"any kind"))
        assert blobs.read(record.blob_id) == b"any kind"

    @pytest.mark.parametrize("size", SIZES)
    def test_a_range_is_half_open_and_cut_off_at_the_end(self, blobs: Blobs, size: int) -> None:
        content = patterned(size)
        blob_id = blobs.put(content).blob_id
        for start, stop in ranges(size):
            assert blobs.read(blob_id, start, stop) == content[start:stop], (start, stop)

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1)])
    def test_a_negative_offset_is_refused(self, blobs: Blobs, start: int, stop: int | None) -> None:
        for content in (b"", b"x"):
            blob_id = blobs.put(content).blob_id
            with pytest.raises(InvalidInputError):
                blobs.read(blob_id, start, stop)

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("part_bytes", [1000, 65_536, 400_000])
    def test_content_may_come_in_parts(self, blobs: Blobs, size: int, part_bytes: int) -> None:
        content = patterned(size)
        record = blobs.put(in_parts(content, part_bytes), "text/x-test")
        assert record == BlobRecord(hashlib.sha256(content).hexdigest(), size, "text/x-test")
        assert blobs.read(record.blob_id) == content
        assert blobs.put(content, "text/x-test") == record

    @pytest.mark.parametrize("size", SIZES)
    def test_content_may_be_read_in_parts(self, blobs: Blobs, size: int) -> None:
        content = patterned(size)
        blob_id = blobs.put(content).blob_id
        for start, stop in [(0, None), *ranges(size)]:
            assert b"".join(blobs.parts(blob_id, start, stop)) == content[start:stop], (start, stop)

    @pytest.mark.parametrize("size", [10, 700_000])
    def test_parts_that_fail_store_nothing(self, blobs: Blobs, size: int) -> None:
        with pytest.raises(InterruptedError, match="no more parts"):
            blobs.put(failing_parts(size))
        with pytest.raises(BlobNotFoundError):
            blobs.stat(hashlib.sha256(patterned(size)).hexdigest())

    def test_an_unknown_blob_is_named_in_the_error(self, blobs: Blobs) -> None:
        missing = "0" * 64
        with pytest.raises(BlobNotFoundError, match=missing):
            blobs.stat(missing)
        with pytest.raises(BlobNotFoundError, match=missing):
            blobs.read(missing)
        with pytest.raises(BlobNotFoundError, match=missing):
            list(blobs.parts(missing))

    @pytest.mark.parametrize("text", ["", "abc", "A" * 64, "../" + "0" * 61, "0" * 63 + "\n"])
    def test_what_is_no_blob_id_is_refused(self, blobs: Blobs, text: str) -> None:
        with pytest.raises(InvalidInputError):
            blobs.stat(text)
        with pytest.raises(InvalidInputError):
            blobs.read(text)

    @pytest.mark.parametrize("size", [100, 100_000])
    def test_threads_that_put_the_same_content_are_all_acknowledged_rightly(self, blobs: Blobs, size: int) -> None:
        content = patterned(size)
        with ThreadPoolExecutor(8) as pool:
            records = set(pool.map(lambda _: blobs.put(content), range(16)))
        assert len(records) == 1
        assert blobs.read(records.pop().blob_id) == content

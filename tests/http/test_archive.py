"""Zip files from outside: what is given of good ones, and that no bad one costs more than it may."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.errors import BodyTooLargeError, InvalidInputError
from moc_server_ext.http.archive import ENTRIES_MAX, zarr_entries
from zarr_nodes import zipped

DOCUMENT = {"zarr.json": b"{}"}


def unpack(content: bytes, max_bytes: int = 1 << 20) -> dict[str, bytes]:
    return dict(zarr_entries(io.BytesIO(content), max_bytes=max_bytes))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entries_are_given_as_they_were_packed_without_directories(method: int):
    entries = {"zarr.json": b"{}", "a/c/0/0": bytes(range(256)) * 50, "a/c/1/0": b"", "maße/zarr.json": b"{}"}
    file = io.BytesIO(zipped({**entries, "a/": b""}, method))
    assert dict(zarr_entries(file, max_bytes=1 << 20)) == entries


@pytest.mark.parametrize(
    "name",
    ["/zarr.json", "../zarr.json", "a/../zarr.json", "a/./c/0", "a//c/0", "...", "c\\0", "C:\\x", "a\nb", "a\x7fb",
     "n" * 1025, "x\u202ey"],
)  # fmt: skip
def test_a_name_that_is_no_zarr_key_is_refused(name: str):
    with pytest.raises(InvalidInputError, match="no Zarr key"):
        unpack(zipped({**DOCUMENT, name: b"x"}))


def test_a_name_with_a_nul_is_refused_although_libraries_cut_it_off_there():
    content = zipped({"zarr.json": b"{}", "zarr_json": b"x"}).replace(b"zarr_json", b"zarr.j\0on")
    with pytest.raises(InvalidInputError):
        unpack(content)


@pytest.mark.parametrize("name", [".zarray", "a/.zattrs", ".zgroup", ".zmetadata"])
def test_version_2_is_refused_by_name(name: str):
    with pytest.raises(InvalidInputError, match="version 2"):
        unpack(zipped({name: b"{}"}))


def test_a_name_twice_is_refused():
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("zarr.json", b"{}")
        archive.writestr("zarr.json", b"[]")
    with pytest.raises(InvalidInputError, match="more than once"):
        unpack(file.getvalue())


def test_an_encrypted_entry_is_refused():
    content = bytearray(zipped(DOCUMENT))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(InvalidInputError, match="encrypted"):
        unpack(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression_is_refused(method: int):
    with pytest.raises(InvalidInputError, match="stored or deflated"):
        unpack(zipped({"zarr.json": b"{}" * 100}, method))


def test_what_is_larger_unpacked_than_it_may_be_is_refused_before_it_is_unpacked():
    content = zipped({"zarr.json": b"{}", "c/0": bytes(8 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 1 << 16
    with pytest.raises(BodyTooLargeError):
        zarr_entries(io.BytesIO(content), max_bytes=1 << 20)


def test_an_entry_that_lies_about_its_size_never_takes_more_memory_than_it_said():
    content = bytearray(zipped({"c/0": bytes(64 << 20)}, zipfile.ZIP_DEFLATED))
    entry = content.index(b"PK\1\2")
    content[entry + 24 : entry + 28] = struct.pack("<L", 10)
    content[entry + 16 : entry + 20] = struct.pack("<L", zlib.crc32(bytes(11)))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError, match="cannot be unpacked"):
            unpack(bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "too short"),
        (b"no zip file, but long enough for the end of one", "no zip file"),
        (zipped(DOCUMENT)[:-1], "no zip file"),
        (zipped(DOCUMENT)[:-22] + b"\0" * 22, "no zip file"),
        (zipped(DOCUMENT).replace(b"PK\1\2", b"PK\1\3"), "cannot be|can be read"),
        (zipped(DOCUMENT).replace(b"PK\3\4", b"PK\3\5"), "cannot be unpacked"),
        (zipped({"zarr.json": b"found me"}).replace(b"found me", b"changed!"), "cannot be unpacked"),
    ],
)
def test_a_damaged_file_is_refused_in_words(content: bytes, says: str):
    with pytest.raises(InvalidInputError, match=says):
        unpack(content)


@pytest.mark.parametrize(
    "end",
    [
        struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65_535, 65_535, 46, 0, 0),
        struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 9 << 20, 0, 0),
        b"PK\6\7" + bytes(16) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0),
    ],
    ids=["too many entries", "a list that is too long", "the 64-bit extension"],
)
def test_a_list_of_entries_that_is_too_long_is_refused_before_it_is_read(end: bytes):
    with pytest.raises(InvalidInputError, match=f"at most {ENTRIES_MAX:,}"):
        unpack(bytes(100) + end)


@given(st.data())
def test_a_file_with_any_changed_bytes_gives_its_entries_or_is_refused(data: st.DataObject):
    content = bytearray(zipped({"zarr.json": b"{}", "c/0": bytes(300)}, zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack(bytes(content))
    except InvalidInputError:
        return
    assert sum(map(len, found.values())) <= 1 << 20

"""``moc.buffers``: whatever people have goes in, and comes out as what it was; over real storage."""

from __future__ import annotations

import array
import io
import warnings
from pathlib import Path

import numpy
import pytest
import xarray

from moc_server_ext.errors import BufferNotFoundError, ConflictError, CorruptStorageError, InvalidInputError
from moc_server_ext.model import CallResult
from moc_server_ext.model.arrays import ITEM_BYTES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import zarr

CUBE = numpy.arange(4 * 5 * 6, dtype="float32").reshape(4, 5, 6)


def same(found, expected):
    assert type(found) is type(expected)
    numpy.testing.assert_array_equal(found, expected, strict=True)


# -- arrays of NumPy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_an_array_of_every_type_comes_back_as_it_was(moc, dtype):
    given = (numpy.arange(60) % 7).astype(dtype).reshape(3, 4, 5)
    moc.buffers["x"] = given
    handle = moc.buffers["x"]
    assert (handle.dtype, handle.shape, handle.ndim, handle.chunks) == (given.dtype, (3, 4, 5), 3, (3, 4, 5))
    same(handle.to_numpy(), given)
    same(numpy.asarray(handle), given)
    same(handle[1:, ::-2, 3], given[1:, ::-2, 3])
    same(handle[2, 1, 0], given[2, 1, 0])
    assert bytes(handle) == given.tobytes()


@pytest.mark.parametrize(
    "given",
    [
        numpy.asfortranarray(CUBE),
        CUBE[::2, :, ::-3],
        CUBE.astype(">f4"),
        CUBE.T,
        numpy.broadcast_to(numpy.float64(3), (20, 30)),
        numpy.zeros((0, 5)),
        numpy.zeros((3, 0, 2), "int16"),
        numpy.array(7.5),
        numpy.float32(2.5),
        numpy.arange(4).reshape((1,) * 31 + (4,)),
    ],
    ids=str,
)
def test_an_array_in_any_order_in_memory_is_the_same_array(moc, given):
    moc.buffers["x"] = given
    found = moc.buffers["x"].to_numpy()
    assert found.dtype == given.dtype.newbyteorder("<")
    assert found.shape == given.shape
    numpy.testing.assert_array_equal(found, given)
    assert found.flags.writeable


def test_chunks_names_and_attributes_can_be_given(moc):
    record = moc.buffers.put(
        "x", CUBE, chunks=(2, 2, 4), dims=("t", None, "x"), attributes={"unit": "K"}, content_type="application/x-cube",
        headers={"Source": "me"},
    )  # fmt: skip
    handle = moc.buffers["x"]
    assert (record.content_type, dict(record.headers)) == ("application/x-cube", {"source": "me"})
    assert (handle.chunks, handle.dims, handle.attrs) == ((2, 2, 4), ("t", "dim_1", "x"), {"unit": "K"})
    same(handle[3, 1:4], CUBE[3, 1:4])
    same(handle.to_numpy(), CUBE)


def test_what_gives_an_array_is_one(moc):
    class Gives:
        def __array__(self, dtype=None, copy=None):
            return CUBE

    class Interface:
        def __init__(self):
            self.__array_interface__ = CUBE.__array_interface__

    for name, given in {"a": Gives(), "b": Interface(), "c": memoryview(CUBE), "d": array.array("d", [1.5, 2])}.items():
        moc.buffers[name] = given
        numpy.testing.assert_array_equal(moc.buffers[name].to_numpy(), numpy.asarray(given))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (numpy.array([{}, []], object), "astype"),
        (numpy.array(["a", "b"]), "join"),
        (numpy.array([b"a"]), "view"),
        (numpy.zeros(2, "V8"), "view"),
        (numpy.zeros(2, [("a", "i4")]), "fields"),
        (numpy.zeros(2, "longdouble"), "float64"),
        (numpy.zeros(2, "clongdouble"), "complex128"),
        (numpy.zeros(2, "datetime64[Y]"), r"datetime64\[ns\]"),
        (numpy.zeros(2, "datetime64[5m]"), r"datetime64\[ns\]"),
        ([1, 2], "asarray"),
        (7, "asarray"),
        (None, "NoneType"),
        (object(), "object"),
        (numpy.ndarray, "type"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words_and_nothing_is_changed(moc, given, says):
    moc.buffers["x"] = b"before"
    with pytest.raises(InvalidInputError, match=says):
        moc.buffers["x"] = given
    assert bytes(moc.buffers["x"]) == b"before"


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
def test_times_are_kept_as_numbers_and_are_times_again_in_xarray(moc, unit):
    times = numpy.array(["2020-01-01", "1969-12-31"], f"datetime64[{unit}]")
    moc.buffers["x"] = times
    handle = moc.buffers["x"]
    assert handle.dtype == "int64"
    same(handle.to_numpy(), times.view("int64"))
    numpy.testing.assert_array_equal(handle.to_xarray().values, times)
    moc.buffers["d"] = times - times[0]
    numpy.testing.assert_array_equal(moc.buffers["d"].to_xarray().values, times - times[0])


@pytest.mark.parametrize(
    "wrong",
    [{"chunks": (4,)}, {"chunks": (0, 5, 6)}, {"chunks": (2, 2, 2**62)}, {"dims": ("a",)},
     {"attributes": {"a": object()}}, {"attributes": {"moc": 1}}],
)  # fmt: skip
def test_what_does_not_fit_the_array_is_refused(moc, wrong):
    with pytest.raises(InvalidInputError):
        moc.buffers.put("x", CUBE, **wrong)
    assert "x" not in moc.buffers


@pytest.mark.parametrize("name", ["a/b", "..", ".", "c/0", "zarr.json", "ä €", "100%", "%2F", "x" * 512])
def test_a_name_is_any_text(moc, name):
    moc.buffers[name] = CUBE
    same(moc.buffers[name][1], CUBE[1])
    assert moc.buffers[name].to_zarr().shape == CUBE.shape


@pytest.mark.parametrize("name", ["", "x" * 4096, "a\nb", " a", "\ud800"])
def test_a_name_that_is_none_is_refused(moc, name):
    with pytest.raises(InvalidInputError):
        moc.buffers[name] = CUBE


# -- reading ----------------------------------------------------------------------------------------------------------


def test_an_index_that_is_none_is_refused_as_by_numpy(moc):
    moc.buffers["x"] = CUBE
    with pytest.raises(IndexError, match="index 4 is out of bounds for axis 0 with size 4"):
        moc.buffers["x"][4]
    with pytest.raises(IndexError, match="too many indices"):
        moc.buffers["x"][0, 0, 0, 0]
    with pytest.raises(IndexError, match="to_numpy"):
        moc.buffers["x"][[0, 1]]


def test_bytes_are_indexed_as_bytes_are(moc):
    content = bytes(range(200)) * 3
    moc.buffers["x"] = content
    handle = moc.buffers["x"]
    assert (handle.dtype, handle.shape, handle.ndim, len(handle), handle.dims) == ("uint8", (600,), 1, 600, ("dim_0",))
    for index in (slice(10, 20), slice(-5, None), slice(None, None, -7), slice(5, 5), slice(1, 500, 100), 3, -1, ...):
        assert handle[index] == (content if index is ... else content[index])
    assert list(handle)[:300] == list(content)[:300]
    same(handle.to_numpy(), numpy.frombuffer(content, "uint8"))
    assert handle.to_numpy().flags.writeable
    with pytest.raises(IndexError):
        handle[600]


def test_len_and_iteration_are_along_the_first_axis(moc):
    moc.buffers.put("x", CUBE, chunks=(3, 5, 6))
    assert len(moc.buffers["x"]) == 4
    for found, expected in zip(moc.buffers["x"], CUBE, strict=True):
        same(found, expected)
    moc.buffers["y"] = numpy.array(1)
    with pytest.raises(TypeError, match="unsized"):
        len(moc.buffers["y"])
    with pytest.raises(TypeError, match="0-d"):
        list(moc.buffers["y"])


def test_blocks_are_the_chunks(moc):
    moc.buffers.put("x", CUBE, chunks=(3, 5, 4))
    whole = numpy.zeros_like(CUBE)
    blocks = list(moc.buffers["x"].blocks())
    for where, block in blocks:
        whole[where] = block
    assert [block.shape for _, block in blocks] == [(3, 5, 4), (3, 5, 2), (1, 5, 4), (1, 5, 2)]
    same(whole, CUBE)


def test_numpy_asks_for_type_and_copy(moc):
    moc.buffers["x"] = CUBE
    assert numpy.asarray(moc.buffers["x"], dtype="int16").dtype == "int16"
    with pytest.raises(ValueError, match="copy"):
        numpy.array(moc.buffers["x"], copy=False)
    assert numpy.add(moc.buffers["x"], 1).sum() == (CUBE + 1).sum()


def test_a_missing_chunk_is_damage_that_names_it(moc, platform):
    moc.buffers.put("x", numpy.zeros((4, 100_000)), chunks=(1, 100_000))
    files = sorted(each for each in (platform.path / "objects").rglob("*") if each.is_file())
    for each in files:
        each.unlink()
    with pytest.raises(CorruptStorageError, match=r"c/0/0"):
        moc.buffers["x"].to_numpy()


def test_a_buffer_that_is_always_replaced_while_it_is_read_is_a_conflict(moc, platform, monkeypatch):
    moc.buffers["x"] = CUBE
    handle = moc.buffers["x"]
    read = platform.zarr.read

    def replacing(key, start=0, stop=None):
        platform.buffers.put("x", b"1234")
        moc.buffers["x"] = CUBE
        return read(key, start, stop)

    monkeypatch.setattr(platform.zarr, "read", replacing)
    with pytest.raises(ConflictError, match="'x' was replaced"):
        handle.to_numpy()


def test_a_buffer_that_was_replaced_once_is_read_again(moc, platform, monkeypatch):
    moc.buffers["x"] = CUBE
    handle = moc.buffers["x"]
    read = platform.zarr.read
    news = [b"now bytes"]

    def replacing(key, start=0, stop=None):
        if news:
            moc.buffers["x"] = news.pop()
        return read(key, start, stop)

    monkeypatch.setattr(platform.zarr, "read", replacing)
    assert handle.to_numpy().tobytes() == b"now bytes"


def test_a_buffer_that_is_gone_is_not_found(moc):
    moc.buffers["x"] = CUBE
    handle = moc.buffers["x"]
    del moc.buffers["x"]
    block = handle.blocks().__next__
    for use in (handle.to_numpy, handle.to_xarray, handle.to_zarr, block, lambda: handle.shape, lambda: handle[0]):
        with pytest.raises(BufferNotFoundError):
            use()


def test_more_is_appended_along_the_first_axis(moc):
    moc.buffers.put("x", CUBE, chunks=(3, 5, 6))
    moc.buffers["x"].append(CUBE[:2] + 1)
    moc.buffers["x"].append(numpy.asfortranarray(CUBE[:1].astype(">f4")))
    same(moc.buffers["x"].to_numpy(), numpy.concatenate([CUBE, CUBE[:2] + 1, CUBE[:1]]))
    for wrong in (CUBE.astype("int32"), CUBE[:, :2], CUBE[0], "text"):
        with pytest.raises(InvalidInputError):
            moc.buffers["x"].append(wrong)
    assert len(moc.buffers["x"]) == 7


def test_texts_of_handles_are_always_the_same(moc):
    moc.buffers["a"] = CUBE
    moc.buffers["b"] = numpy.zeros(2_000_000)
    moc.buffers["c"] = xarray.Dataset({"t": ("x", [1, 2]), "u": ("x", [1.5, 2])})
    assert [repr(moc.buffers[name]) for name in "abc"] == [
        "<buffer 'a': float32 (4, 5, 6), 480 bytes>",
        "<buffer 'b': float64 (2000000,), 15.3 MiB>",
        "<buffer 'c': group of t, u, 32 bytes>",
    ]


# -- xarray -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cube():
    return xarray.DataArray(
        CUBE,
        dims=("time", "lat", "lon"),
        coords={
            "time": numpy.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-02-01"], "M8[ns]"),
            "lat": numpy.linspace(-10, 10, 5),
            "place": ("lat", ["a", "b", "ç", "dd", ""]),
        },
        name="temperature",
        attrs={"units": "K", "levels": [1, 2]},
    )


def test_a_data_array_comes_back_with_coordinates_and_attributes(moc, cube):
    moc.buffers["t"] = cube
    handle = moc.buffers["t"]
    xarray.testing.assert_identical(handle.to_xarray(), cube)
    xarray.testing.assert_identical(handle.to_xarray(load=False).load(), cube)
    assert (handle.dtype, handle.shape, handle.dims) == ("float32", (4, 5, 6), ("time", "lat", "lon"))
    same(handle[1:3, -1], CUBE[1:3, -1])
    same(handle.to_numpy(), CUBE)
    assert handle.attrs["units"] == "K"
    assert sorted(handle.record.arrays) == ["lat", "temperature", "time"] or "place" in handle.record.arrays


def test_a_data_array_without_a_name_has_none_afterwards(moc):
    moc.buffers["t"] = xarray.DataArray(CUBE)
    found = moc.buffers["t"].to_xarray()
    assert found.name is None
    xarray.testing.assert_identical(found, xarray.DataArray(CUBE))


def test_a_dataset_comes_back_and_is_no_array(moc, cube):
    dataset = xarray.Dataset({"t": cube, "u": cube.astype("int16"), "flag": cube > 3}, attrs={"title": "a set"})
    moc.buffers["set"] = dataset
    handle = moc.buffers["set"]
    xarray.testing.assert_identical(handle.to_xarray(), dataset)
    assert not hasattr(handle, "shape")
    with pytest.raises(AttributeError, match="to_xarray"):
        handle.dtype  # noqa: B018
    for use in (handle.to_numpy, lambda: handle[0], lambda: len(handle), lambda: list(handle)):
        with pytest.raises(TypeError, match="to_xarray"):
            use()
    assert isinstance(handle.to_zarr(), zarr.Group)


def test_a_plain_array_in_xarray_has_the_names_of_its_axes(moc):
    moc.buffers.put("x", CUBE, dims=("t", None, "x"), attributes={"unit": "K"})
    expected = xarray.DataArray(CUBE, dims=("t", "dim_1", "x"), attrs={"unit": "K"}, name="x")
    xarray.testing.assert_identical(moc.buffers["x"].to_xarray(), expected)
    moc.buffers["b"] = b"abc"
    xarray.testing.assert_identical(
        moc.buffers["b"].to_xarray(), xarray.DataArray(numpy.frombuffer(b"abc", "uint8"), name="b")
    )


def test_an_empty_dataset_is_a_group_too(moc):
    moc.buffers["x"] = xarray.Dataset(attrs={"title": "nothing"})
    xarray.testing.assert_identical(moc.buffers["x"].to_xarray(), xarray.Dataset(attrs={"title": "nothing"}))


# -- zarr -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_an_array_of_zarr_is_stored_chunk_by_chunk(moc, version):
    given = zarr.create_array(zarr.storage.MemoryStore(), shape=(4, 5, 6), chunks=(3, 2, 6), dtype="f4",
                              zarr_format=version, attributes={"unit": "K"})  # fmt: skip
    given[:] = CUBE
    moc.buffers["z"] = given
    handle = moc.buffers["z"]
    assert (handle.chunks, handle.attrs) == ((3, 2, 6), {"unit": "K"})
    same(handle.to_numpy(), CUBE)
    same(handle[::-1, 3], CUBE[::-1, 3])
    same(handle.to_zarr()[:], CUBE)
    assert handle.to_zarr().read_only


def test_a_group_of_zarr_is_stored_as_it_is(moc):
    given = zarr.create_group(zarr.storage.MemoryStore(), attributes={"title": "mine"})
    given.create_array("a", data=CUBE, chunks=(2, 5, 6))
    given.create_group("deep").create_array("b", data=CUBE[0])
    moc.buffers["g"] = given
    found = moc.buffers["g"].to_zarr()
    same(found["a"][:], CUBE)
    same(found["deep/b"][:], CUBE[0])
    assert found.attrs["title"] == "mine"
    assert sorted(moc.buffers["g"].record.arrays) == ["a", "deep/b"]


def test_a_group_of_older_zarr_is_refused_in_words(moc):
    with pytest.raises(InvalidInputError, match="v2"):
        moc.buffers["g"] = zarr.create_group(zarr.storage.MemoryStore(), zarr_format=2)


def test_a_compressed_array_is_read_all_the_same(moc, platform):
    store = zarr.storage.MemoryStore()
    given = zarr.create_array(store, shape=(4, 5, 6), chunks=(3, 2, 6), dtype="f4", fill_value=9)
    given[:3] = CUBE[:3]
    platform.buffers.put_zarr("z", {key: value.to_bytes() for key, value in store._store_dict.items()}.items())
    same(moc.buffers["z"].to_numpy(), given[:])
    same(moc.buffers["z"][::-2, 1:, None, 0], given[:][::-2, 1:, None, 0])
    same(moc.buffers["z"][3, 0, 0], numpy.float32(9))
    assert len(list(moc.buffers["z"].blocks())) == 6


# -- bytes, files, other buffers, results -----------------------------------------------------------------------------


def test_files_and_paths_are_stored_in_parts(moc, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG" * 100_000)
    moc.buffers["p"] = path
    assert (moc.buffers["p"].content_type, bytes(moc.buffers["p"])) == ("image/png", path.read_bytes())
    with path.open("rb") as file:
        moc.buffers["f"] = file
    moc.buffers["m"] = io.BytesIO(b"in memory")
    moc.buffers["i"] = iter([b"a", "b", b"c"])
    assert [bytes(moc.buffers[name]) for name in "fmi"] == [path.read_bytes(), b"in memory", b"abc"]
    with pytest.raises(FileNotFoundError):
        moc.buffers["n"] = tmp_path / "none"
    with pytest.raises(IsADirectoryError):
        moc.buffers["n"] = tmp_path
    assert "n" not in moc.buffers


def test_labels_are_for_arrays(moc, tmp_path):
    for given in (b"bytes", "text", io.BytesIO(b"x"), xarray.Dataset(), CallResult("c", None, 0, b"x")):
        with pytest.raises(InvalidInputError, match="dims can be given for an array"):
            moc.buffers.put("x", given, dims=("a",))


def test_another_buffer_is_copied_with_all_that_it_is(moc, cube):
    moc.buffers.put("bytes", b"abc", content_type="text/x", headers={"a": "b"})
    moc.buffers.put("array", CUBE, chunks=(2, 5, 5), dims=("a", "b", "c"), attributes={"unit": "K"})
    moc.buffers["group"] = cube
    for name in ("bytes", "array", "group"):
        moc.buffers[f"{name}/copy"] = moc.buffers[name]
        one, other = moc.buffers[name].record, moc.buffers[f"{name}/copy"].record
        assert (one.array, dict(one.arrays), dict(one.headers), one.content_type) == (
            other.array, dict(other.arrays), dict(other.headers), other.content_type
        )  # fmt: skip
        numpy.testing.assert_array_equal(moc.buffers[f"{name}/copy"].to_numpy(), moc.buffers[name].to_numpy())
    xarray.testing.assert_identical(moc.buffers["group/copy"].to_xarray(), cube)
    moc.buffers["array"] = moc.buffers["array"]
    same(moc.buffers["array"].to_numpy(), CUBE)


def test_the_result_of_a_call_is_stored_with_what_it_is_and_who_made_it(moc):
    headers = {"moc-dtype": "float32", "moc-shape": "[4,5,6]", "content-type": "application/x-cube", "etag": "1"}
    moc.buffers["x"] = CallResult("42", None, 0, CUBE.tobytes(), output_headers=headers, function="blur")
    record = moc.buffers["x"].record
    assert (record.content_type, dict(record.headers)) == ("application/x-cube", {"etag": "1"})
    assert dict(record.origin) == {"call_id": "42", "function": "blur"}
    same(moc.buffers["x"].to_numpy(), CUBE)
    moc.buffers["y"] = CallResult("42", None, 0, b"abc", output_headers={"moc-dtype": "float32", "moc-shape": "[9]"})
    assert moc.buffers["y"].record.array is None
    assert bytes(moc.buffers["y"]) == b"abc"


def test_memory_is_not_doubled_for_a_large_array(moc, platform, monkeypatch):
    seen = []
    put = platform.buffers.put

    def watched(name, content, *arguments, **options):
        parts = list(content)
        seen.extend(parts)
        return put(name, iter(parts), *arguments, **options)

    monkeypatch.setattr(platform.buffers, "put", watched)
    given = numpy.arange(500_000, dtype="float64")
    moc.buffers["x"] = given
    assert all(numpy.shares_memory(numpy.frombuffer(each, "uint8"), given) for each in seen)
    assert len(seen) > 1
    same(moc.buffers["x"].to_numpy(), given)

"""Arrays between a client and a real server: the same as in one process, by connection and by file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy
import pytest
import xarray

from array_guests import SAME, array_function
from moc_server_ext.client.client import Client
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.client.local_files import StagedFiles
from moc_server_ext.errors import (
    ArrayMemoryError,
    ArrayRequiredError,
    ConflictError,
    GuestStatusError,
    InvalidInputError,
)
from moc_server_ext.model import Declaration
from support import MocServer, register_samples, start_server

CUBE = numpy.arange(4 * 5 * 6, dtype="float32").reshape(4, 5, 6)
LARGE = numpy.arange(3 * 1100 * 700, dtype="int32").reshape(3, 1100, 700)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MocServer]:
    storage = tmp_path_factory.mktemp("server") / "storage"
    register_samples(storage)
    server = start_server(storage)
    yield server
    server.kill()


@pytest.fixture
def moc(server: MocServer) -> Iterator[Client]:
    told = server.endpoint
    with Client(HttpPlatform(told["url"], told["token"], told["ca_file"])) as client:
        yield client
        for name in list(client.buffers):
            del client.buffers[name]


@pytest.fixture(params=["here", "elsewhere"])
def anywhere(request, moc, monkeypatch) -> Client:
    """Give a client that sees the server's files, and one that does not."""
    if request.param == "elsewhere":
        monkeypatch.setattr(moc.platform.buffers, "shared", lambda: None)
    return moc


def same(found, expected):
    assert type(found) is type(expected)
    numpy.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(
    ("given", "chunks"),
    [(CUBE, None), (LARGE, None), (LARGE, (1, 1000, 700)), (LARGE, (2, 300, 400)), (LARGE.T, None),
     (numpy.zeros((0, 3)), None), (numpy.array(2.5), None), (LARGE.astype(">i4"), None)],
    ids=["small", "large", "edges", "grid", "order", "nothing", "scalar", "endian"],
)  # fmt: skip
def test_an_array_is_the_same_on_the_server(anywhere, given, chunks):
    labels = {"dims": tuple("äbc"[: given.ndim]), "attributes": {"unit": "°C"}, "headers": {"a": "b"}}
    record = anywhere.buffers.put("x/ä", given, content_type="application/x-cube", chunks=chunks, **labels)
    handle = anywhere.buffers["x/ä"]
    assert handle.record == record
    assert (record.content_type, dict(record.headers)) == ("application/x-cube", {"a": "b"})
    assert (handle.dims, handle.attrs) == (tuple("äbc"[: given.ndim]), {"unit": "°C"})
    little = given.astype(given.dtype.newbyteorder("<"))
    same(handle.to_numpy(), numpy.ascontiguousarray(little).reshape(given.shape))
    if given.ndim == 3:
        same(handle[1:, ::-2, 2], little[1:, ::-2, 2].copy())
        same(handle[1, 2, 1], little[1, 2, 1])
    assert bytes(handle) == little.tobytes()


def test_large_arrays_go_by_files_on_the_same_machine(moc, server, monkeypatch):
    staged = []
    write = StagedFiles.write
    monkeypatch.setattr(StagedFiles, "write", lambda *arguments: staged.append(1) or write(*arguments))
    moc.buffers["x"] = LARGE
    assert staged == [1]
    requests = []
    request = moc.platform._transport.request
    monkeypatch.setattr(
        moc.platform._transport, "request", lambda *a, **k: requests.append(a[1].partition("/")[0]) or request(*a, **k)
    )
    same(moc.buffers["x"].to_numpy(), LARGE)
    assert requests.count("zarr") == 1  # The metadata; every chunk came from its file.
    assert list((server.storage / "staging").iterdir()) == []


def test_files_that_the_server_does_not_take_are_sent_instead(moc, server, monkeypatch):
    write = StagedFiles.write

    def broken(self, *arguments):
        write(self, *arguments)
        for name in self.files.values():
            (server.storage / "staging" / name).write_bytes(b"short")

    monkeypatch.setattr(StagedFiles, "write", broken)
    moc.buffers["x"] = LARGE
    same(moc.buffers["x"].to_numpy(), LARGE)
    assert list((server.storage / "staging").iterdir()) == []


def test_another_storage_at_the_same_path_is_not_used(moc, server):
    status = moc.status()
    shared = moc.platform.buffers.shared()
    assert shared is not None
    for wrong in ({**status, "instance_id": "0" * 32}, {**status, "storage": {"path": "relative"}}, {"storage": 7}, {}):
        assert type(shared).find(wrong) is None


def test_a_file_that_vanishes_while_it_is_read_is_asked_for_again(moc, monkeypatch):
    moc.buffers["x"] = LARGE
    chunk_files = moc.platform.buffers.chunk_files
    news = [LARGE + 1]

    def replaced(*arguments):
        files = chunk_files(*arguments)
        if news:
            moc.buffers["x"] = news.pop()
        return files

    monkeypatch.setattr(moc.platform.buffers, "chunk_files", replaced)
    same(moc.buffers["x"].to_numpy(), LARGE + 1)


def test_more_is_appended(moc):
    moc.buffers["x"] = CUBE
    moc.buffers["x"].append(CUBE[:2])
    same(moc.buffers["x"].to_numpy(), numpy.concatenate([CUBE, CUBE[:2]]))
    with pytest.raises(InvalidInputError):
        moc.buffers["x"].append(CUBE.astype("int8"))


def test_groups_go_there_and_back(anywhere):
    array = xarray.DataArray(
        LARGE, dims=("time", "y", "x"), coords={"time": numpy.array([1, 2, 3], "M8[s]").astype("M8[ns]")}, name="t"
    )
    anywhere.buffers["t"] = array
    xarray.testing.assert_identical(anywhere.buffers["t"].to_xarray(), array)
    same(anywhere.buffers["t"][2, 5:7], LARGE[2, 5:7])
    anywhere.buffers["copy"] = anywhere.buffers["t"]
    xarray.testing.assert_identical(anywhere.buffers["copy"].to_xarray(), array)
    dataset = xarray.Dataset({"a": ("x", [1.5, 2]), "b": ("x", ["text", "ü"])}, attrs={"title": "set"})
    anywhere.buffers["set"] = dataset
    xarray.testing.assert_identical(anywhere.buffers["set"].to_xarray(), dataset)
    with pytest.raises(ConflictError):
        bytes(anywhere.buffers["set"])


def test_the_store_of_zarr_shows_all_and_takes_nothing(moc):
    import zarr

    moc.buffers["a/b"] = CUBE
    moc.kv["key"] = b"value"
    store = moc.zarr_store()
    root = zarr.open_group(store, mode="r", use_consolidated=False)
    same(root["buffers/a%2Fb"][:], CUBE)
    assert bytes(root["kv/key"][:]) == b"value"
    assert {name for name, _ in root.members()} == {"blobs", "buffers", "kv"}
    assert [name for name, _ in zarr.open_group(moc.zarr_store("buffers"), mode="r").members()] == ["a%2Fb"]
    with pytest.raises(ValueError, match="read-only"):
        zarr.create_array(store, name="buffers/new", shape=(1,), dtype="i4")


def test_zarr_and_xarray_open_the_address(moc):
    moc.buffers["a/b"] = CUBE
    moc.buffers["set"] = xarray.Dataset({"t": (("y", "x"), CUBE[0])})
    options = moc.zarr_options()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zarr

        found = zarr.open_array(moc.zarr_url("a/b"), mode="r", storage_options=options)
        same(found[1:3], CUBE[1:3])
        same(xarray.open_zarr(moc.zarr_url("set"), storage_options=options)["t"].values, CUBE[0])


@pytest.mark.parametrize("call", ["attribute", "item", "call", "input", "handle"])
def test_an_array_function_is_called_like_one_of_numpys(moc, call):
    image = numpy.zeros((7, 9), "float32")
    image[3, 4] = 9
    expected = numpy.zeros_like(image)
    expected[2:5, 3:6] = 1
    if call == "attribute":
        found = moc.functions.blur(image, 1)
    elif call == "item":
        found = moc.functions["blur"](numpy.asfortranarray(image.astype(">f4")), 1)
    elif call == "call":
        found = moc.call("blur", image, 1).to_numpy()
    elif call == "input":
        found = moc.call("blur", 1, input=image).to_numpy()
    else:
        moc.buffers["image"] = image
        found = moc.functions.blur(moc.buffers["image"], 1)
    numpy.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_answer_is_stored_with_its_origin_and_goes_on_to_the_next_call(moc):
    image = numpy.ones((20, 30), "float64")
    result = moc.call("blur", image, 2)
    moc.buffers["blurred"] = result
    record = moc.buffers["blurred"].record
    assert (record.array.dtype, record.array.shape) == ("float64", (20, 30))
    assert record.origin["call_id"] == result.call_id
    assert moc.call("blur", 1, input=result).array.shape == (20, 30)
    with pytest.raises(InvalidInputError, match="twice"):
        moc.call("blur", image, 2, input=image)
    with pytest.raises(InvalidInputError, match="text"):
        moc.functions.blur(numpy.array(["text"]), 1)


@pytest.mark.parametrize("size", [3, 1500])
def test_arrays_of_all_sizes_go_to_a_server_and_come_back(moc, size):
    image = numpy.random.default_rng(7).random((size, size + 1), "float32")
    total = numpy.zeros_like(image, "float64")
    padded = numpy.pad(image.astype("float64"), 1)
    for down in range(3):
        for right in range(3):
            total += padded[down : down + size, right : right + size + 1]
    found = moc.functions.blur(image, 1)
    assert (found.dtype, found.shape) == (image.dtype, image.shape)
    numpy.testing.assert_allclose(found[1:-1, 1:-1], total[1:-1, 1:-1] / 9, rtol=1e-4)


@pytest.mark.parametrize("reusable", [False, True])
def test_what_an_array_function_does_wrong_comes_back_from_a_server_in_words(moc, reusable):
    beside = "(i32.store8 (i32.sub (local.get $array) (i32.const 1)) (i32.const 0))"
    moc.functions.put("beside", array_function(f"{beside} {SAME}", name="beside"), Declaration(reusable=reusable))
    moc.functions.put("no", array_function(name="no", status="(i32.const 7)"), Declaration(reusable=reusable))
    with pytest.raises(ArrayMemoryError, match="before the array that it was given") as caught:
        moc.functions.beside(CUBE)
    assert caught.value.details["place"] == "before"
    with pytest.raises(GuestStatusError, match="gave 7 back"):
        moc.functions.no(CUBE)
    with pytest.raises(ArrayRequiredError, match="takes an array"):
        moc.functions.no()


def test_compressed_arrays_and_bytes_are_read_as_all_others(anywhere):
    anywhere.buffers.put("cube", LARGE, chunks=(1, 300, 700), compression="zstd")
    handle = anywhere.buffers["cube"]
    same(handle.to_numpy(), LARGE)
    same(handle[1:, 290:310, ::-7], LARGE[1:, 290:310, ::-7])
    assert handle.to_zarr().metadata.to_dict()["codecs"][1] == {
        "name": "zstd",
        "configuration": {"level": 3, "checksum": True},
    }
    assert handle.read(1_000_001, 1_000_103) == LARGE.tobytes()[1_000_001:1_000_103]
    assert anywhere.buffers.put("bytes", LARGE.tobytes(), compression="zstd").size == LARGE.nbytes
    assert anywhere.buffers["bytes"][4_194_300:4_194_310] == LARGE.tobytes()[4_194_300:4_194_310]
    assert anywhere.buffers["bytes"].read() == LARGE.tobytes()

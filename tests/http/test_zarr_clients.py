"""What others open with an address and the token: zarr-python over fsspec, and xarray (imported late: they warn)."""

from __future__ import annotations

import json
import ssl

import numpy as np
import pytest

from zarr_nodes import group_entries, zipped

# Of the libraries, for what they do with each other.
pytestmark = pytest.mark.filterwarnings("ignore")

CUBE = np.arange(8 * 6 * 10, dtype="float32").reshape(8, 6, 10) / 4


@pytest.fixture
def gateway(served):
    """A gateway in front of a queue: these clients ask for many chunks at once."""
    with served(waiting=256) as running:
        yield running


@pytest.fixture
def options(gateway):
    """What a client is given besides the address."""
    context = ssl.create_default_context(cafile=str(gateway.ca_file))
    return {"headers": {"Authorization": f"Bearer {gateway.token}"}, "ssl": context}


@pytest.fixture
def asked(gateway):
    """The keys that the server was asked for, and what there was."""
    found: list[str] = []
    inner = gateway.platform.zarr

    class Noting:
        def __getattr__(self, name):
            return getattr(inner, name)

        def open(self, key):
            found.append(key)
            return inner.open(key)

        def consolidated(self, key):
            found.append(key)
            return inner.consolidated(key)

        def glance(self, key):
            glanced = inner.glance(key)
            if glanced is not None:
                found.append(key)
            return glanced

    gateway.platform.zarr = Noting()
    return found


def put_array(gateway, address, array, chunks):
    headers = {"Moc-Dtype": array.dtype.name, "Moc-Shape": json.dumps(array.shape), "Moc-Chunks": json.dumps(chunks)}
    response = gateway.request("PUT", f"buffers/{address}", content=array.tobytes(), headers=headers)
    assert response.status_code == 201, response.text


def put_group(gateway, name, entries):
    headers = {"Content-Type": "application/zip"}
    response = gateway.request("PUT", f"buffers/{name}?format=zarr", content=zipped(entries), headers=headers)
    assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    ("address", "node"), [("cube", "cube"), ("a%2Fb", "a%252Fb"), ("a%2Fb", "a%2Fb"), ("%C3%BC", "%25C3%25BC")]
)
def test_zarr_opens_an_array_by_its_address_and_reads_of_it_what_it_needs(gateway, options, asked, address, node):
    import zarr

    put_array(gateway, address, CUBE, (2, 6, 5))
    array = zarr.open_array(f"{gateway.api}zarr/buffers/{node}", mode="r", zarr_format=3, storage_options=options)
    assert (array.dtype, array.shape, array.chunks) == (np.dtype("float32"), CUBE.shape, (2, 6, 5))
    np.testing.assert_array_equal(array[:], CUBE)
    asked.clear()
    np.testing.assert_array_equal(array[2:4, :, 7], CUBE[2:4, :, 7])
    assert [each.partition("/c/")[2] for each in asked] == ["1/0/1"]
    asked.clear()
    np.testing.assert_array_equal(array[1:3, 0, 4:6], CUBE[1:3, 0, 4:6])
    assert sorted(each.partition("/c/")[2] for each in asked) == ["0/0/0", "0/0/1", "1/0/0", "1/0/1"]


def test_zarr_goes_from_the_group_of_all_buffers_to_each_of_them_without_asking_again(gateway, options, asked):
    import zarr

    put_array(gateway, "a%2Fb", CUBE, (8, 6, 10))
    gateway.platform.buffers.put("bytes", b"some bytes", "text/plain")
    group = zarr.open_group(f"{gateway.api}zarr/buffers", mode="r", storage_options=options)
    assert sorted(group.array_keys()) == ["a%2Fb", "bytes"]
    asked.clear()
    np.testing.assert_array_equal(group["a%2Fb"][:], CUBE)
    assert group["bytes"][:].tobytes() == b"some bytes"
    assert asked == ["buffers/a%2Fb/c/0/0/0", "buffers/bytes/c/0"]


def test_the_root_is_opened_without_inline_metadata(gateway, options, asked):
    import zarr

    gateway.platform.kv.set(b"k/1", b"value")
    root = zarr.open_group(f"{gateway.api}zarr", mode="r", storage_options=options)
    assert root.metadata.consolidated_metadata is None
    assert root["kv/k%2F1"][:].tobytes() == b"value"


@pytest.mark.parametrize("settings", [{}, {"compressors": "auto"}, {"chunks": (3,), "shards": (6,)}])
def test_arrays_in_a_group_are_read_whatever_their_codecs(gateway, options, settings):
    import zarr

    values = np.arange(12, dtype="int64")
    put_group(gateway, "set", group_entries({"v": values}, **settings))
    array = zarr.open_array(f"{gateway.api}zarr/buffers/set/v", mode="r", storage_options=options)
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[4:8], values[4:8])


def test_xarray_opens_a_dataset_with_its_coordinates_and_reads_of_it_what_it_needs(gateway, options, asked):
    import xarray
    from zarr.storage import MemoryStore

    data = xarray.Dataset(
        {"t": (("time", "y", "x"), CUBE, {"units": "K"})},
        coords={"time": np.arange("2020-01-01", "2020-01-09", dtype="datetime64[D]").astype("datetime64[ns]"),
                "y": np.linspace(-1, 1, 6)},
        attrs={"title": "made up"},
    )  # fmt: skip
    store = MemoryStore()
    data.to_zarr(store, zarr_format=3, consolidated=False, encoding={"t": {"chunks": (2, 6, 10)}})
    put_group(gateway, "climate", {key: value.to_bytes() for key, value in store._store_dict.items()})

    url = f"{gateway.api}zarr/buffers/climate"
    with xarray.open_zarr(url, storage_options=options, chunks=None) as opened:
        metadata = [each for each in asked if each.endswith("zarr.json")]
        assert set(metadata) == {"buffers/climate/zarr.json"}
        loaded = opened.load()
        assert loaded.attrs.pop("moc")["content_type"] == "application/octet-stream"
        xarray.testing.assert_identical(loaded, data)
    with xarray.open_zarr(url, storage_options=options, chunks=None) as opened:
        asked.clear()
        np.testing.assert_array_equal(opened["t"].isel(time=5).values, CUBE[5])
        assert asked == ["buffers/climate/t/c/2/0/0"]


def test_a_damaged_chunk_is_an_error_to_zarr_and_no_fill_value(gateway, options):
    import zarr

    array = np.ones((2, 20_000))
    put_array(gateway, "x", array, (1, 20_000))
    opened = zarr.open_array(f"{gateway.api}zarr/buffers/x", mode="r", storage_options=options)
    np.testing.assert_array_equal(opened[0], array[0])
    for path in (gateway.platform.storage.path / "objects").glob("*/*"):
        path.unlink()
    # Whatever the client calls it, it is not 0.
    with pytest.raises(Exception, match="500"):
        opened[1]


def test_nothing_is_told_without_the_token(gateway, options):
    import zarr

    put_array(gateway, "x", CUBE, CUBE.shape)
    with pytest.raises(Exception, match="401"):
        zarr.open_array(f"{gateway.api}zarr/buffers/x", mode="r", storage_options={"ssl": options["ssl"]})

"""The hierarchy by its keys: what each address gives, conditional and by range, and what no address gives."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from moc_server_ext.storage.zarr_layout import node_name

COUNT = range(300_000)
NAMES = ["plain", "a/b", "ü", "sp ace", "100%", "q?x=1", "h#x", ".hidden", "__x", "zarr.json", "c", "n" * 512]

NO_KEYS = [
    "zarr/x",
    "zarr/buffers",
    "zarr/buffers/x",
    "zarr/buffers/x/",
    "zarr/buffers//x/zarr.json",
    "zarr//zarr.json",
    "zarr/buffers/x/c/1",
    "zarr/buffers/x/c/00",
    "zarr/buffers/x/c/-1",
    "zarr/buffers/x/c/0/",
    "zarr/zarr.json/",
    "zarr/%2e%2e/zarr.json",
    "zarr/buffers/%2E%2E/zarr.json",
    "zarr/buffers/%00/zarr.json",
    "zarr/%00",
    "zarr/%F0%9F%98%80",
    "zarr/buffers/x%2Fzarr.json/zarr.json",
    "zarr/buffers/x/.zarray",
    "zarr/.zmetadata",
    "zarr/buffers/" + "n" * 4096 + "/zarr.json",
    "zarr/" + "a/" * 5000 + "zarr.json",
    "zarr/" + "%25" * 5000,
    "zarr/ZARR.JSON",
    "zarr/buffers/x/zarr.json%0A",
    "zarr/",
]


def exact(key: str) -> str:
    """Give the address of a key: each name between the slashes encoded once more."""
    return "/".join(quote(each, safe="") for each in key.split("/"))


def test_documents_and_chunks_come_with_type_size_and_identity(gateway):
    gateway.platform.buffers.put("x", b"0123456789", "text/plain")
    for key, content_type in [
        ("buffers/x/zarr.json", "application/json"),
        ("buffers/x/c/0", "application/octet-stream"),
    ]:
        value = gateway.platform.zarr.read(key)
        response = gateway.request("GET", f"zarr/{key}")
        assert (response.status_code, response.content) == (200, value)
        assert response.headers["content-type"] == content_type
        assert response.headers["cache-control"] == "private, no-cache"
        assert response.headers["content-security-policy"] == "sandbox"
        head = gateway.request("HEAD", f"zarr/{key}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "etag", "accept-ranges", "content-type"):
            assert head.headers[name] == response.headers[name]
        held = {"If-None-Match": response.headers["etag"]}
        assert gateway.request("GET", f"zarr/{key}", headers=held).status_code == 304
        gateway.platform.buffers.put("x", b"0123456789", "text/plain")
    gateway.platform.buffers.put("x", b"012345678X", "text/plain")
    assert gateway.request("GET", "zarr/buffers/x/c/0", headers=held).content == b"012345678X"


@pytest.mark.parametrize(
    ("range", "status", "found"),
    [
        ("bytes=2-4", 206, slice(2, 5)),
        ("bytes=299990-", 206, slice(299_990, None)),
        ("bytes=-3", 206, slice(-3, None)),
        ("bytes=0-999999", 206, slice(None)),
        ("bytes=1-280000", 206, slice(1, 280_001)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=300000-", 416, None),
    ],
)
def test_a_range_is_given_alone(gateway, range, status, found):
    content = bytes(i * 7 % 251 for i in COUNT)
    gateway.platform.buffers.put("x", content)
    response = gateway.request("GET", "zarr/buffers/x/c/0", headers={"Range": range})
    assert response.status_code == status
    if found is not None:
        assert response.content == content[found]


def test_a_buffer_is_found_by_its_node_encoded_once_more_and_by_its_name_encoded_once(gateway):
    for name in NAMES:
        gateway.platform.buffers.put(name, name.encode() * 2)
    for name in NAMES:
        node = node_name(name)
        addresses = [exact(f"buffers/{node}/c/0"), f"buffers/{quote(name, safe='')}/c/0", f"buffers/{node}/c/0"]
        found = [gateway.request("GET", f"zarr/{each}").content for each in addresses]
        assert found == [name.encode() * 2] * 3, name


def test_a_key_may_be_encoded_as_a_whole(gateway):
    gateway.platform.buffers.put("a/b", b"content")
    assert gateway.request("GET", f"zarr/{quote('buffers/a%2Fb/c/0', safe='')}").content == b"content"


def test_of_two_buffers_that_one_address_could_mean_it_means_the_node(gateway):
    gateway.platform.buffers.put("a/b", b"of a slash b")
    gateway.platform.buffers.put("a%2Fb", b"of a percent 2Fb")
    assert gateway.request("GET", "zarr/buffers/a%252Fb/c/0").content == b"of a slash b"
    assert gateway.request("GET", "zarr/buffers/a%2Fb/c/0").content == b"of a slash b"
    assert gateway.request("GET", "zarr/buffers/a%25252Fb/c/0").content == b"of a percent 2Fb"


@pytest.mark.parametrize("key", [b"plain", b"a/b", b"\xff\0", b"k" * 4096, b"\xff" * 4096])
def test_values_of_any_key_are_there_also_of_4_kb(gateway, key):
    gateway.platform.kv.set(key, b"value")
    node = node_name(key)
    assert gateway.request("GET", f"zarr/{exact(f'kv/{node}/c/0')}").content == b"value"
    assert gateway.request("GET", f"zarr/kv/{node}/c/0").content == b"value"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_no_key_is_not_found(gateway, method):
    gateway.platform.buffers.put("x", b"x")
    for path in NO_KEYS:
        # As it stands: clients would resolve dots.
        with gateway.connection() as stream:
            head = f"{method} /moc/api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
            stream.sendall(f"{head}Connection: close\r\n\r\n".encode())
            answer = stream.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 404 "), (path, answer[:200])
        assert b"Traceback" not in answer
        if method == "GET":
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["zarr/%FF", "zarr/buffers/x/%C3", "zarr/buffers/x/zarr.json?consolidated=1"])
def test_what_is_no_text_or_has_a_query_is_refused(gateway, path):
    gateway.platform.buffers.put("x", b"x")
    assert gateway.request("GET", path).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_written_there(gateway, method):
    gateway.platform.buffers.put("x", b"x")
    response = gateway.request(method, "zarr/buffers/x/c/0", content=b"y")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert gateway.platform.buffers.read("x") == b"x"


def test_a_damaged_chunk_is_an_error_and_never_a_missing_one(gateway):
    gateway.platform.buffers.put("x", bytes(100_000))
    for path in (gateway.platform.storage.path / "objects").glob("*/*"):
        path.write_bytes(b"damaged")
    for address in ("zarr/buffers/x/c/0", "buffers/x"):
        response = gateway.request("GET", address)
        assert (response.status_code, response.json()["error"]["code"]) == (500, "storage_corrupt")
        assert re.search(r"'x'|'buffers/x/c/0'", response.json()["error"]["message"])
    for path in (gateway.platform.storage.path / "objects").glob("*/*"):
        path.unlink()
    assert gateway.request("GET", "zarr/buffers/x/c/0").status_code == 500


def test_the_keys_are_listed_page_by_page_in_bytewise_order(gateway):
    for name in ("b", "a/b", "a"):
        gateway.platform.buffers.put(name, b"x")
    gateway.platform.kv.set(b"k", b"v")
    pages, after = [], None
    while True:
        query = {"limit": 4} | ({} if after is None else {"after": after})
        page = gateway.request("GET", "zarr", params=query).json()["keys"]
        assert len(page) <= 4
        if not page:
            break
        pages += page
        after = page[-1]
    assert pages == sorted(pages)
    assert {"zarr.json", "buffers/a%2Fb/c/0", "kv/k/zarr.json", "blobs/zarr.json"} <= set(pages)
    below = gateway.request("GET", "zarr", params={"prefix": "buffers/a/"}).json()["keys"]
    assert below == ["buffers/a/c/0", "buffers/a/zarr.json"]
    assert gateway.request("GET", "zarr", params={"prefix": "ü"}).json() == {"keys": []}
    for query in ("limit=0", "limit=x", "limit=10001", "prefix=a&prefix=b", "more=1"):
        assert gateway.request("GET", f"zarr?{query}").status_code == 400

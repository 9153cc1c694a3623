"""Buffers as zarrita.js reads them in a real browser: real requests with the token, to a real server's gateway."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
import pytest

from support import MocServer, start_server
from zarr_nodes import zip_group

HERE = Path(__file__).parent / "zarrita"
PAGE = """<!doctype html><meta charset="utf-8"><title>zarrita</title>
<script type="importmap">{"imports": {
    "zarrita": "/modules/zarrita/dist/src/index.js",
    "@zarrita/storage/fetch": "/modules/@zarrita/storage/dist/src/fetch.js",
    "numcodecs/": "/modules/numcodecs/dist/"
}}</script>"""
SETUP = """async ([root, token]) => {
    window.zarr = await import("zarrita")
    const overrides = {headers: {Authorization: `Bearer ${token}`}}
    window.store = path => new zarr.FetchStore(root + path, {overrides})
    window.plain = array => ({shape: array.shape, data: Array.from(array.data, Number)})
}"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with zarrita's modules, as the lock file beside this test has them."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here: install it to see a browser read Zarr")
    directory = tmp_path_factory.mktemp("zarrita")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, directory)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return directory / "node_modules"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MocServer]:
    started = start_server(tmp_path / "storage")
    yield started
    started.kill()


@pytest.fixture
def client(server: MocServer) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=server.endpoint["ca_file"])
    headers = {"Authorization": f"Bearer {server.endpoint['token']}"}
    url = f"{server.endpoint['url']}/moc/api/v1/"
    with httpx.Client(verify=context, base_url=url, headers=headers, trust_env=False, timeout=60) as opened:
        yield opened


@pytest.fixture
def zarr_page(page: Any, server: MocServer, modules: Path) -> Any:
    """Give a page of the gateway's own origin, which has zarrita; all but its modules comes from the server."""
    origin = server.endpoint["url"]
    # The gateway's certificate is its own.
    context = page.context.browser.new_context(ignore_https_errors=True)
    opened = context.new_page()

    def module(route: Any) -> None:
        path = modules / unquote(urlsplit(route.request.url).path).removeprefix("/modules/")
        route.fulfill(body=path.read_text(), content_type="text/javascript")

    opened.route(f"{origin}/modules/**", module)
    opened.route(f"{origin}/page", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    opened.goto(f"{origin}/page")
    opened.evaluate(SETUP, [f"{origin}/moc/api/v1/zarr/", server.endpoint["token"]])
    return opened


@pytest.fixture
def asked(zarr_page: Any) -> list[tuple[str, int]]:
    """Collect what the page asks of the server: the key, and the status of the answer."""
    found: list[tuple[str, int]] = []

    def note(response: Any) -> None:
        path = urlsplit(response.url).path
        if "/zarr/" in path:
            found.append((path.partition("/zarr/")[2], response.status))

    zarr_page.on("response", note)
    return found


def put_array(client: httpx.Client, address: str, array: np.ndarray, chunks: tuple[int, ...]) -> None:
    headers = {"Moc-Dtype": array.dtype.name, "Moc-Shape": json.dumps(array.shape), "Moc-Chunks": json.dumps(chunks)}
    client.put(f"buffers/{address}", content=array.tobytes(), headers=headers).raise_for_status()


def as_array(found: dict[str, Any], dtype: str) -> np.ndarray:
    return np.array(found["data"], dtype).reshape(found["shape"])


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("address", "node"),
    [("x", "x"), ("a%2Fb", "a%252Fb"), ("a%2Fb", "a%2Fb"), ("%C3%BC", "%25C3%25BC")],
    ids=["a plain name", "a slash, encoded twice", "a slash, encoded once", "not ASCII"],
)
def test_zarrita_reads_an_array_and_of_a_slice_only_the_chunks_that_it_needs(
    client: httpx.Client, zarr_page: Any, asked: list[tuple[str, int]], address: str, node: str
):
    array = np.arange(6 * 8 * 10, dtype="float32").reshape(6, 8, 10) / 8
    put_array(client, address, array, (2, 8, 10))
    found = zarr_page.evaluate(
        """async path => {
            const array = await zarr.open.v3(store(path), {kind: "array"})
            return {whole: plain(await zarr.get(array)), type: array.dtype}
        }""",
        f"buffers/{node}",
    )
    assert found["type"] == "float32"
    np.testing.assert_array_equal(as_array(found["whole"], "float32"), array)
    asked.clear()
    found = zarr_page.evaluate(
        """async path => {
            const array = await zarr.open.v3(store(path), {kind: "array"})
            return plain(await zarr.get(array, [zarr.slice(2, 4), null, 3]))
        }""",
        f"buffers/{node}",
    )
    np.testing.assert_array_equal(as_array(found, "float32"), array[2:4, :, 3])
    assert asked == [(f"buffers/{node}/zarr.json", 200), (f"buffers/{node}/c/1/0/0", 200)]


@pytest.mark.timeout(240)
def test_zarrita_reads_a_group_by_the_metadata_that_its_document_has_inline(
    client: httpx.Client, zarr_page: Any, asked: list[tuple[str, int]]
):
    members = {"t": np.arange(12, dtype="int16").reshape(3, 4), "x": np.linspace(0, 1, 4)}
    body = zip_group(members)
    zipped = {"Content-Type": "application/zip"}
    client.put("buffers/set", params={"format": "zarr"}, content=body, headers=zipped).raise_for_status()
    found = zarr_page.evaluate(
        """async () => {
            const group = await zarr.open.v3(await zarr.withConsolidatedMetadata(store("buffers/set"), {format: "v3"}))
            const read = async name => plain(await zarr.get(await zarr.open.v3(group.resolve(name), {kind: "array"})))
            return {t: await read("t"), x: await read("x"), attributes: group.attrs}
        }""",
    )
    np.testing.assert_array_equal(as_array(found["t"], "int16"), members["t"])
    np.testing.assert_array_equal(as_array(found["x"], "float64"), members["x"])
    assert found["attributes"]["title"] == "a group"
    # One request for the metadata of all, then those for chunks.
    assert sorted(asked) == [
        ("buffers/set/t/c/0/0", 200), ("buffers/set/x/c/0", 200), ("buffers/set/zarr.json", 200)
    ]  # fmt: skip


@pytest.mark.timeout(240)
def test_zarrita_is_told_by_name_what_is_not_there_and_refused_without_the_token(server: MocServer, zarr_page: Any):
    root = f"{server.endpoint['url']}/moc/api/v1/zarr/buffers/none"
    missing = "async path => zarr.open.v3(store(path)).then(() => 'opened', error => error.name)"
    assert zarr_page.evaluate(missing, "buffers/none") == "NotFoundError"
    strange = "async root => zarr.open.v3(new zarr.FetchStore(root)).then(() => 'opened', error => error.message)"
    assert "401" in zarr_page.evaluate(strange, root)

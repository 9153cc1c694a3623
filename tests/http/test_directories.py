"""No field, header or body of a request opens a directory of the server's machine."""

from __future__ import annotations

import json

import pytest

from moc_server_ext.client.client import Client
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import DirectoriesNotServedError
from mounted import ENOENT, FILE, READER

WORDS = ("dir", "dirs", "mount", "mounts", "preopen", "preopens", "map-dir", "mapdir", "host", "root")


@pytest.fixture
def gateway(cluster_gateway, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_bytes(b"from the host")
    cluster_gateway.platform.functions.put("reader", READER)
    return cluster_gateway


@pytest.fixture
def mount(tmp_path):
    return f"{tmp_path / 'data'}::/"


@pytest.mark.parametrize("word", WORDS)
def test_a_query_with_a_directory_is_no_call(gateway, mount, word):
    answer = gateway.request("POST", "functions/reader/call", params={word: mount})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"


@pytest.mark.parametrize("prefix", ["", "Moc-", "X-Moc-"])
@pytest.mark.parametrize("word", WORDS[:-2])
def test_a_header_with_a_directory_means_nothing(gateway, mount, prefix, word):
    answer = gateway.request("POST", "functions/reader/call", headers={f"{prefix}{word}": mount})
    assert answer.headers["moc-exit-code"] == str(ENOENT)


@pytest.mark.parametrize(
    "field", ["arg=--dir={0}", "arg=--dir&arg={0}", "env=MOC_DIR={0}", "env=dirs={0}", "entry={0}"]
)
def test_the_fields_that_there_are_carry_none(gateway, mount, field):
    answer = gateway.request("POST", f"functions/reader/call?{field.format(mount)}")
    assert answer.content != b"from the host"
    assert answer.headers.get("moc-exit-code") == str(ENOENT) or answer.status_code in (400, 404)


def test_a_body_with_a_directory_is_the_guests_input(gateway, mount):
    body = json.dumps({"mounts": [{"host": mount.partition("::")[0], "guest": "/"}], "dirs": [mount]}).encode()
    answer = gateway.request(
        "POST", "functions/reader/call", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.headers["moc-exit-code"] == str(ENOENT)


@pytest.mark.parametrize("word", WORDS)
def test_a_function_is_not_registered_with_a_directory(gateway, mount, word):
    answer = gateway.request("PUT", "functions/other", params={word: mount}, content=READER)
    assert answer.status_code == 400
    assert gateway.request("POST", "functions/reader/call").headers["moc-exit-code"] == str(ENOENT)


def test_a_client_of_a_server_says_so_and_sends_nothing(gateway, tmp_path):
    before = len(gateway.platform.calls.list())
    with Client(HttpPlatform(gateway.url, gateway.token, str(gateway.ca_file))) as moc:
        with pytest.raises(DirectoriesNotServedError, match="A server opens no directories for its callers"):
            moc.call("reader", dirs={"/": tmp_path / "data"})
        with pytest.raises(DirectoriesNotServedError):
            moc.start("reader", dirs={"/": tmp_path / "data"}).wait(60)
    assert len(gateway.platform.calls.list()) == before

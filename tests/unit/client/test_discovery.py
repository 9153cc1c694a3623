"""Which platform is found, and which files are believed: what must not be taken, and what embedded means."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from moc_server_ext.client import connect
from moc_server_ext.client.transport import Address
from moc_server_ext.errors import InvalidInputError, ServerUnreachableError
from moc_server_ext.storage.endpoint import Endpoint, write_endpoint


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in ("MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOC_STORAGE", str(tmp_path / "default"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


def endpoint(**changes):
    facts = {
        "pid": os.getpid(),
        "url": "https://localhost:1",
        "jupyter_url": None,
        "token": "t",
        "ca_file": None,
        "instance_id": "i",
    }
    return Endpoint(**{**facts, **changes})


def test_without_a_server_the_storage_is_opened_here(tmp_path):
    with connect(storage=tmp_path / "mine") as moc:
        assert moc.origin == f"embedded on {tmp_path / 'mine'}"
        moc.buffers["x"] = b"1"
    with connect(storage=tmp_path / "mine") as moc:
        assert bytes(moc.buffers["x"]) == b"1"


def test_the_default_storage_is_the_last_resort(tmp_path):
    with connect() as moc:
        assert moc.origin == f"embedded on {tmp_path / 'default'}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "refused"), ("https://localhost:1", "refused"), ("http://127.0.0.1:1/x/", "refused")],
)
def test_a_named_server_that_does_not_answer_is_an_error_and_nothing_is_opened(tmp_path, url, reason):
    with connect(url, "t") as moc, pytest.raises(ServerUnreachableError, match=reason) as raised:
        moc.status()
    assert raised.value.details["url"] == url
    assert not (tmp_path / "default").exists()


@pytest.mark.parametrize("url", ["localhost:8443", "ftp://x", "", "http://", "http://x:y"])
def test_what_is_no_address_is_told_as_such(monkeypatch, url):
    monkeypatch.setenv("MOC_URL", "nonsense")
    with connect(url or None, "t") as moc, pytest.raises((InvalidInputError, ServerUnreachableError)):
        moc.status()


def test_a_token_with_a_line_break_is_refused_before_it_is_sent():
    with connect("http://127.0.0.1:1", "a\r\nX: y") as moc, pytest.raises(InvalidInputError, match="token"):
        moc.status()


def test_a_server_that_has_stopped_is_not_replaced_by_an_embedded_one(monkeypatch, tmp_path):
    monkeypatch.setenv("MOC_ENDPOINT_FILE", str(tmp_path / "gone" / "endpoint.json"))
    with pytest.raises(ServerUnreachableError, match="MOC_ENDPOINT_FILE"):
        connect()
    assert not (tmp_path / "default").exists()


def test_an_endpoint_of_a_dead_process_is_passed_over(tmp_path):
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    directory = tmp_path / "default"
    directory.mkdir()
    write_endpoint(directory, endpoint(pid=int(process.stdout)))
    (directory / "endpoint.json").rename(tmp_path / "kept.json")
    with connect():
        pass
    (tmp_path / "kept.json").rename(directory / "endpoint.json")
    with connect() as moc:
        assert moc.origin.startswith("embedded")


def test_an_endpoint_where_nobody_answers_is_passed_over(tmp_path):
    with connect():
        pass
    write_endpoint(tmp_path / "default", endpoint())
    with connect() as moc:
        assert moc.origin.startswith("embedded")


def test_a_known_token_goes_to_its_own_address_only(tmp_path):
    (tmp_path / "default").mkdir()
    write_endpoint(tmp_path / "default", endpoint(url="https://localhost:8443", token="secret", ca_file=None))
    with connect("https://localhost:8443/") as moc:
        assert moc.platform._transport.address.token == "secret"
    for other in ("https://localhost:8444", "https://localhost:8443.evil.example", "http://localhost:8443"):
        with connect(other) as moc:
            assert moc.platform._transport.address.token is None


def test_a_jupyter_address_does_not_get_the_gateways_token(tmp_path):
    (tmp_path / "default").mkdir()
    write_endpoint(tmp_path / "default", endpoint(token="secret", jupyter_url="http://127.0.0.1:8888/"))
    with connect("http://127.0.0.1:8888") as moc:
        assert moc.platform._transport.address.token is None


def test_the_environment_names_a_server(monkeypatch):
    monkeypatch.setenv("MOC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MOC_TOKEN", "from-environment")
    with connect() as moc:
        assert moc.origin == "server http://127.0.0.1:1"
        assert moc.platform._transport.address.token == "from-environment"


def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    with (
        connect("https://localhost:1", "t", ca_file=tmp_path / "none.pem") as moc,
        pytest.raises(ServerUnreachableError, match=r"none\.pem"),
    ):
        moc.status()


def test_an_address_does_not_show_its_token():
    assert "secret" not in repr(Address("http://x", "secret"))


def test_a_closed_client_says_so(tmp_path):
    moc = connect("http://127.0.0.1:1", "t")
    moc.close()
    with pytest.raises(InvalidInputError, match="closed"):
        moc.status()


def test_connecting_imports_neither_jupyter_nor_an_engine():
    code = (
        "import sys\n"
        "from moc_server_ext.client import connect\n"
        "connect('http://127.0.0.1:1', 't').close()\n"
        "heavy = {'jupyter_server', 'tornado', 'wasmtime', 'apsw', 'zarr', 'numpy', 'cryptography'}\n"
        "import json; print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []

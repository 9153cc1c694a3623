"""Endpoint files that lie or are stale, servers that changed: nothing is believed that should not be."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.client import connect
from moc_server_ext.client.client import Client
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import (
    InvalidInputError,
    LockedStorageError,
    ServerUnreachableError,
    UnauthorizedError,
    UntrustedEndpointError,
)
from moc_server_ext.http.embedded import EmbeddedGateway
from moc_server_ext.http.tls import ensure_certificate
from moc_server_ext.storage.announcement import (
    announce_endpoint_file,
    announced_endpoint_file,
    withdraw_announcement,
)
from moc_server_ext.storage.endpoint import ENDPOINT_FILE, Endpoint, load_endpoint, read_endpoint, write_endpoint
from moc_server_ext.storage.ownership import owner_pid

ENDPOINT = Endpoint(os.getpid(), "https://localhost:1", None, "secret-token", None, "an-instance")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOC_STORAGE", str(tmp_path / "default"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Give an endpoint file that is as it must be."""
    write_endpoint(tmp_path, ENDPOINT)
    return tmp_path / ENDPOINT_FILE


@dataclasses.dataclass
class Listener:
    """Somebody who listens, answers what it likes, and keeps the tokens that it is shown."""

    port: int
    tokens: list[str]


@contextmanager
def listening(answer: Callable[[], dict[str, Any]] = dict) -> Iterator[Listener]:
    tokens: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            body = json.dumps(answer()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Listener(server.server_address[1], tokens)
        server.shutdown()
        thread.join()


@contextmanager
def served(path: Path) -> Iterator[tuple[Cluster, EmbeddedGateway]]:
    """Serve a storage that keeps its place: as a server does."""
    with Cluster.open(path) as cluster:
        gateway = EmbeddedGateway(cluster, cluster.storage, hand_over=lambda heir: None)
        write_endpoint(path, gateway.endpoint)
        try:
            yield cluster, gateway
        finally:
            gateway.stop()


def dead_pid() -> int:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_as_it_must_be_is_believed(written):
    assert load_endpoint(written) == ENDPOINT
    assert "secret-token" not in repr(ENDPOINT)


def spoil_mode(file: Path) -> None:
    file.chmod(0o644)


def spoil_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def spoil_size(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "padding": "x" * 70_000}))


def spoil_kind(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def spoil_directory(file: Path) -> None:
    file.unlink()
    file.mkdir(mode=0o700)


def spoil_json(file: Path) -> None:
    file.write_text("[" * 30_000)


def spoil_pid(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": 1 << 80}))


def spoil_field(file: Path) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "embedded": "yes"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_mode, "its mode is 0644, expected 0600"),
        (spoil_link, "it is a symbolic link"),
        (spoil_size, "larger than 65,536 bytes"),
        (spoil_kind, "no regular file"),
        (spoil_directory, "no regular file"),
        (spoil_json, "no JSON object"),
        (spoil_pid, "not of the form"),
        (spoil_field, "not of the form"),
    ],
)
def test_a_file_that_others_could_have_written_is_not_believed_and_says_why(written, spoil, reason, monkeypatch):
    spoil(written)
    assert read_endpoint(written.parent) is None
    monkeypatch.setenv("MOC_ENDPOINT_FILE", str(written))
    with pytest.raises(UntrustedEndpointError, match=reason) as raised:
        connect()
    assert raised.value.details["path"] == str(written)
    assert "secret-token" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else_is_not_believed(written):
    os.chown(written, 12345, 12345)
    with pytest.raises(UntrustedEndpointError, match="belongs to user 12345"):
        load_endpoint(written)


def test_the_named_file_itself_is_used_whatever_it_is_called(tmp_path, monkeypatch):
    with served(tmp_path / "storage") as (_, gateway):
        (tmp_path / "storage" / ENDPOINT_FILE).rename(tmp_path / "other-name")
        write_endpoint(tmp_path, ENDPOINT)
        monkeypatch.setenv("MOC_ENDPOINT_FILE", str(tmp_path / "other-name"))
        with connect() as moc:
            assert moc.origin == f"server {gateway.endpoint.url}"


# -- who answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["dead", "another instance", "nobody"])
def test_an_endpoint_file_that_leads_elsewhere_is_an_error_and_opens_nothing(tmp_path, monkeypatch, change):
    with listening(lambda: {"instance_id": "somebody-else"}) as other:
        url = f"http://127.0.0.1:{1 if change == 'nobody' else other.port}"
        pid = dead_pid() if change == "dead" else os.getpid()
        write_endpoint(tmp_path, dataclasses.replace(ENDPOINT, url=url, pid=pid))
        monkeypatch.setenv("MOC_ENDPOINT_FILE", str(tmp_path / ENDPOINT_FILE))
        reason = {"dead": "is gone", "another instance": "another cluster answers", "nobody": "refused"}[change]
        with pytest.raises(ServerUnreachableError, match=reason):
            connect()
        # Of a process that is gone the address may be anybody's by now.
        assert bool(other.tokens) == (change == "another instance")
    assert not (tmp_path / "default").exists()


def test_a_storage_whose_file_leads_to_somebody_else_is_opened_here(tmp_path):
    path = tmp_path / "storage"
    Cluster.open(path).close()
    with listening(lambda: {"instance_id": "somebody-else"}) as other:
        write_endpoint(path, dataclasses.replace(ENDPOINT, url=f"http://127.0.0.1:{other.port}"))
        with connect(storage=path) as moc:
            assert moc.origin == f"embedded on {path}"


def test_a_token_goes_only_where_its_own_file_says(tmp_path, monkeypatch):
    with served(tmp_path / "storage") as (cluster, _), listening() as liar:
        # It names the storage's instance, and an address of its own: what it gets is its own token.
        file = tmp_path / "lying" / ENDPOINT_FILE
        file.parent.mkdir()
        url = f"http://127.0.0.1:{liar.port}"
        write_endpoint(file.parent, dataclasses.replace(ENDPOINT, url=url, instance_id=cluster.storage.instance_id))
        monkeypatch.setenv("MOC_ENDPOINT_FILE", str(file))
        monkeypatch.setenv("MOC_TOKEN", "token-of-another-server")
        monkeypatch.setenv("MOC_STORAGE", str(tmp_path / "storage"))
        with pytest.raises(ServerUnreachableError):
            connect()
        assert set(liar.tokens) == {"Bearer secret-token"}


def test_a_client_does_not_follow_its_storage_to_another_instance(tmp_path):
    path = tmp_path / "storage"
    with served(path), connect(storage=path) as moc:
        moc.kv["k"] = b"v"
        with served(tmp_path / "other") as (_, other):
            token = "x" * 32
            write_endpoint(path, dataclasses.replace(other.endpoint, token=token))
            moc.platform._transport._address = dataclasses.replace(moc.platform._transport.address, token="wrong")
            moc.platform._transport._open_again(moc.platform._transport._http)
            with pytest.raises(UnauthorizedError):
                moc.kv["k"]
            write_endpoint(path, other.endpoint)
            with pytest.raises(UnauthorizedError):
                moc.kv["k"]


def test_a_token_that_was_replaced_is_read_anew(tmp_path):
    path = tmp_path / "storage"
    with served(path) as (cluster, gateway), connect(storage=path) as moc:
        moc.kv["k"] = b"v"
        cluster.storage.token = "another-token-of-this-storage"
        second = EmbeddedGateway(cluster, cluster.storage, hand_over=lambda heir: None)
        try:
            gateway.stop()
            write_endpoint(path, second.endpoint)
            assert moc.kv["k"] == b"v"
        finally:
            second.stop()


def test_a_certificate_that_was_replaced_is_read_anew_once_and_a_foreign_one_is_told(tmp_path):
    with served(tmp_path / "storage") as (_, gateway):
        trusted = tmp_path / "trusted.pem"
        foreign = ensure_certificate(tmp_path / "foreign").cert_file
        shutil.copy(foreign, trusted)
        endpoint = gateway.endpoint
        assert endpoint.url is not None
        with connect(endpoint.url, endpoint.token, ca_file=trusted) as moc:
            with pytest.raises(ServerUnreachableError, match="certificate is not trusted"):
                moc.status()
            # The file was read when the connections were opened; its change is noticed when trust fails.
            platform = moc.platform
            assert isinstance(platform, HttpPlatform)
            shutil.copy(endpoint.ca_file or "", trusted)
            assert moc.status()["instance_id"] == endpoint.instance_id


# -- the parent's announcement ----------------------------------------------------------------------------------------


def test_the_parents_announcement_leads_to_its_endpoint_file(tmp_path, monkeypatch):
    with served(tmp_path / "storage") as (_, gateway):
        announce_endpoint_file(tmp_path / "storage" / ENDPOINT_FILE, os.getpid())
        monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
        with connect() as moc:
            assert moc.origin == f"server {gateway.endpoint.url}"
        withdraw_announcement(os.getpid())
        assert announced_endpoint_file(os.getpid()) is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"pid": 1, "endpoint_file": "/x"}', '{"pid": PID, "endpoint_file": "relative"}', '{"pid": PID}'],
)
def test_an_announcement_that_is_not_this_parents_own_is_none(tmp_path, text):
    announce_endpoint_file(tmp_path / ENDPOINT_FILE, os.getpid())
    file = tmp_path / "runtime" / f"moc-{os.getpid()}.json"
    assert announced_endpoint_file(os.getpid()) == tmp_path / ENDPOINT_FILE
    file.write_text(text.replace("PID", str(os.getpid())))
    assert announced_endpoint_file(os.getpid()) is None


def test_an_announcement_that_others_can_write_is_none(tmp_path):
    announce_endpoint_file(tmp_path / ENDPOINT_FILE, os.getpid())
    (tmp_path / "runtime" / f"moc-{os.getpid()}.json").chmod(0o666)
    assert announced_endpoint_file(os.getpid()) is None


def test_announcements_of_the_dead_are_none_and_are_cleared_away(tmp_path):
    dead = dead_pid()
    announce_endpoint_file(tmp_path / ENDPOINT_FILE, dead)
    assert announced_endpoint_file(dead) is None
    announce_endpoint_file(tmp_path / ENDPOINT_FILE, os.getpid())
    assert [each.name for each in (tmp_path / "runtime").iterdir()] == [f"moc-{os.getpid()}.json"]


@pytest.mark.parametrize("number", [0, 1 << 31, 9_999_999_999])
def test_numbers_that_no_process_has_are_the_dead_wherever_they_stand(tmp_path, number):
    (tmp_path / "runtime").mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "runtime" / f"moc-{number}.json").write_text("{}")
    announce_endpoint_file(tmp_path / ENDPOINT_FILE, os.getpid())
    assert [each.name for each in (tmp_path / "runtime").iterdir()] == [f"moc-{os.getpid()}.json"]
    path = tmp_path / "storage"
    path.mkdir()
    (path / "LOCK").write_text(f"{number}\n")
    with connect(storage=path) as moc:
        assert moc.origin == f"embedded on {path}"


@pytest.mark.parametrize("text", ["", "x", "-1", "99999999999999999999", "１２", "0"])
def test_a_parents_id_that_is_none_is_passed_over(tmp_path, monkeypatch, text):
    monkeypatch.setenv("JPY_PARENT_PID", text)
    with connect() as moc:
        assert moc.origin == f"embedded on {tmp_path / 'default'}"


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_names_its_holder_and_nobody_when_it_is_free(tmp_path):
    path = tmp_path / "storage"
    assert owner_pid(path) is None
    with Cluster.open(path) as cluster:
        assert owner_pid(path) == os.getpid()
        with pytest.raises(LockedStorageError):
            Cluster.open(path)
        assert owner_pid(path) == os.getpid()
        cluster.storage.hand_over_to(4711)
    assert owner_pid(path) == 4711
    Cluster.open(path).close()
    assert owner_pid(path) is None


# -- what cannot be combined ------------------------------------------------------------------------------------------


def test_a_certificate_without_an_address_is_refused(tmp_path):
    for options in ({}, {"storage": tmp_path / "storage"}):
        with pytest.raises(InvalidInputError, match="ca_file"):
            connect(ca_file=tmp_path / "cert.pem", **options)
    assert not (tmp_path / "storage").exists()


def test_an_embedded_platform_that_cannot_be_served_goes_on_alone_and_says_so(tmp_path, monkeypatch):
    def refuse(*arguments: Any, **options: Any) -> list[socket.socket]:
        raise InvalidInputError("No port is to be had.")

    monkeypatch.setattr("moc_server_ext.http.gateway.bind", refuse)
    with connect(storage=tmp_path / "storage") as moc:
        assert isinstance(moc, Client)
        assert "other processes cannot use it: No port" in moc.origin
        moc.kv["k"] = b"v"
    assert not (tmp_path / "storage" / ENDPOINT_FILE).exists()


def test_a_client_of_a_server_loads_no_web_server_and_no_engine(tmp_path):
    with served(tmp_path / "storage"):
        code = (
            "import sys, json\n"
            "from moc_server_ext.client import connect\n"
            f"with connect(storage={str(tmp_path / 'storage')!r}) as moc: moc.status()\n"
            "heavy = {'jupyter_server', 'tornado', 'wasmtime', 'apsw', 'zarr', 'numpy', 'cryptography'}\n"
            "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []

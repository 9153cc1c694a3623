"""Backups through a server: by its own target, by this user's, by nobody else's; and a server from a backup."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import httpx
import pytest

from moc_server_ext.client import connect
from moc_server_ext.storage import Storage
from moc_server_ext.storage.backup.creating import create_backup
from moc_server_ext.storage.backup.layout import read_backups
from moc_server_ext.storage.targets.directory import DirectoryTarget
from support import MocServer, start_server

DEADLINE_SECONDS = 60


def ask(server: MocServer, method: str, path: str, *, token: str | None = None) -> httpx.Response:
    endpoint = server.endpoint
    import ssl

    context = ssl.create_default_context(cafile=endpoint["ca_file"])
    with httpx.Client(verify=context, timeout=60) as http:
        headers = {"Authorization": f"Bearer {token or endpoint['token']}"}
        return http.request(method, f"{endpoint['url']}/moc/api/v1/{path}", headers=headers)


def last_line(response: httpx.Response) -> dict:
    return json.loads(response.text.strip().splitlines()[-1])


@pytest.fixture
def backed_up(tmp_path: Path) -> tuple[DirectoryTarget, str]:
    target = DirectoryTarget(tmp_path / "target")
    with Storage.open(tmp_path / "lost") as storage:
        storage.kv.set(b"result", b"of a week")
        storage.buffers.put("big", os.urandom(200_000))
        create_backup(storage, target)
        return target, storage.token


def test_a_server_is_in_production_from_a_backup_in_one_command(backed_up, tmp_path):
    target, token = backed_up
    server = start_server(tmp_path / "new", "--restore", target.url)
    try:
        assert "restored the backup" in server.printed
        assert "schedules are held" in server.printed
        assert ask(server, "GET", "kv/result", token=token).text == "of a week"
        assert ask(server, "GET", "kv/result").text == "of a week"
        assert ask(server, "GET", "kv/result", token="x" * 43).status_code == 401
        status = ask(server, "GET", "status").json()
        assert status["storage"]["schedules_held"]
        assert ask(server, "POST", "take-over").status_code == 204
        assert "schedules_held" not in ask(server, "GET", "status").json()["storage"]
    finally:
        server.kill()
    with pytest.raises(RuntimeError, match="is not empty"):
        start_server(tmp_path / "new", "--restore", target.url)


def test_a_server_backs_up_by_itself_and_by_request(backed_up, tmp_path):
    target = DirectoryTarget(tmp_path / "own")
    configured = {"MocExtension": {"backup_target": target.url, "backup_every_seconds": 3600, "backup_keep": 5}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(configured))
    server = start_server(tmp_path / "lost", JUPYTER_CONFIG_DIR=str(tmp_path))
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while ask(server, "GET", "status").json()["backup"]["last"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(ask(server, "GET", "backups").json()["backups"]) == 1
        answer = ask(server, "POST", "backups")
        assert last_line(answer)["result"]["number"] == 2
        assert last_line(ask(server, "POST", "backups/verify"))["result"]["damage"] == []
        assert [each.number for each in read_backups(target)] == [2, 1]
    finally:
        server.kill()


def test_only_this_user_on_this_machine_names_another_target(backed_up, tmp_path):
    server = start_server(tmp_path / "lost")
    elsewhere = tmp_path / "elsewhere"
    try:
        for query in (f"target={elsewhere}", "keep=1", "adopt=true", "include_tls_key=true"):
            assert ask(server, "POST", f"backups?{query}").status_code == 403
            for proof in ("0" * 32, "../token", "", "x"):
                assert ask(server, "POST", f"backups?{query}&proof={proof}").status_code in (400, 403)
        assert not elsewhere.exists()
        with connect(storage=tmp_path / "lost") as moc:
            work = moc.platform.backups.create(str(elsewhere), keep=1)
            with pytest.raises(StopIteration) as end:  # noqa: PT012 - what a generator gives
                while True:
                    next(work)
            assert end.value.value.number == 1
            assert list((tmp_path / "lost" / "staging").iterdir()) == []
            assert [each.number for each in moc.platform.backups.list(str(elsewhere))] == [1]
    finally:
        server.kill()

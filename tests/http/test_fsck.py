"""A check of the storage through a server: told in lines, ended with its connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import ReadOnlyStorageError, ServerUnreachableError
from moc_server_ext.model import CheckReport

LARGE = bytes(range(256)) * 4000


@pytest.fixture
def platform(cluster_gateway: Any) -> Iterator[HttpPlatform]:
    platform = HttpPlatform(cluster_gateway.url, cluster_gateway.token, str(cluster_gateway.ca_file))
    yield platform
    platform.close()


def finished(check: Any) -> CheckReport:
    while True:
        try:
            next(check)
        except StopIteration as end:
            report: CheckReport = end.value
            return report


def test_a_client_sees_the_steps_and_the_report_of_the_servers_check(
    cluster_gateway: Any, platform: HttpPlatform
) -> None:
    platform.buffers.put("topics", LARGE)
    check = platform.fsck()
    step = next(check)
    assert 0 <= step.done_bytes <= step.total_bytes
    assert finished(check).is_sound
    (file,) = (cluster_gateway.platform.storage.path / "objects").glob("*/*")
    file.write_bytes(LARGE[::-1])
    (finding,) = finished(platform.fsck()).findings
    assert (finding.kind, finding.what) == ("object_changed", "buffer 'topics'")
    assert finished(platform.fsck(quick=True)).is_sound
    assert finished(platform.fsck(remove_damaged=True)).is_sound
    assert platform.buffers.list() == []


def test_the_answer_is_lines_of_json_and_the_last_one_is_the_report(cluster_gateway: Any) -> None:
    response = cluster_gateway.request("POST", "fsck?quick")
    assert response.headers["content-type"] == "application/x-ndjson"
    *steps, last = [json.loads(line) for line in response.text.splitlines()]
    assert all(list(each) == ["progress"] for each in steps)
    assert last["result"]["sound"]
    assert last["result"]["quick"]


def test_a_misspelt_flag_is_refused(cluster_gateway: Any) -> None:
    assert cluster_gateway.request("POST", "fsck?remove=true").status_code == 400


def test_what_the_check_fails_with_comes_as_its_own_class(cluster_gateway: Any, platform: HttpPlatform) -> None:
    storage = cluster_gateway.platform.storage
    stray = storage.path / "objects" / "ab" / ("ab" * 16)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")

    def refuse(object_id: str) -> bool:
        raise ReadOnlyStorageError(str(storage.path), "the disk is read-only")

    storage._repairs.remove_stray = refuse
    with pytest.raises(ReadOnlyStorageError, match="the disk is read-only"):
        finished(platform.fsck(repair=True))
    assert stray.exists()


def test_a_client_that_leaves_ends_the_check(cluster_gateway: Any, platform: HttpPlatform) -> None:
    for number in range(20):
        platform.buffers.put(f"b{number}", LARGE + bytes([number]))
    check = platform.fsck()
    next(check)
    check.close()
    # Everything else goes on, and so does another check.
    assert finished(platform.fsck()).is_sound


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"nonsense\n", b'{"result": {"quick": 1}}\n', b""])
def test_an_answer_that_is_none_is_no_report(
    monkeypatch: pytest.MonkeyPatch, platform: HttpPlatform, line: bytes
) -> None:

    monkeypatch.setattr(platform._transport, "request", lambda *_, **__: httpx.Response(200, content=line))
    with pytest.raises(ServerUnreachableError):
        finished(platform.fsck())

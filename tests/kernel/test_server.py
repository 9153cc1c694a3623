"""A kernel beside a server: it talks to the server, survives its restart, and never opens the storage itself."""

from __future__ import annotations

import pytest

from support import MocServer, start_server


@pytest.fixture
def server(tmp_path):
    servers = [start_server(tmp_path / "storage")]
    yield servers
    for each in servers:
        each.kill()


def restart(servers: list[MocServer]) -> None:
    servers.append(start_server(servers[0].storage))


def test_a_kernel_uses_the_server_of_its_storage_and_finds_it_again(server, fresh_kernel):
    cell = fresh_kernel.do("from moc_kernel import connect\nmoc = connect()\nprint(moc.origin)")
    assert cell.stdout.startswith("server https://")
    assert cell.stderr == ""
    fresh_kernel.do("%moc kv set k kept")

    server[-1].kill()
    cell = fresh_kernel.run("%moc kv get k")
    assert cell.error["ename"] == "ServerUnreachableError"
    assert "Traceback" not in cell.error_text

    restart(server)
    assert fresh_kernel.do("%moc kv get k").stdout == "kept\n"

"""The collection of garbage as clients of a server see it."""

from __future__ import annotations

from moc_server_ext.client.http import HttpPlatform


def test_a_client_is_told_what_is_held_and_what_went(gateway, client: HttpPlatform) -> None:
    client.buffers.put("x", bytes(100_000))
    client.buffers.delete("x")
    told = client.gc(dry_run=True)
    assert told["dry_run"] is True
    assert told["unknown"] == {"objects": 0, "bytes": 0}
    assert told["held"] == {"grace": {"objects": 1, "bytes": 100_000}}
    gateway.platform.storage.collect(ignore_grace=True)
    assert client.gc() == {"dry_run": False, "objects": 0, "bytes": 0, "held": {}}

"""A storage without a server: who opens it serves it, the others are its clients, commands take turns."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jupyter_support import closing, environment_of, read_endpoint_file, start_kernel
from moc_server_ext.client.discovery import discover
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import LockedStorageError

pytestmark = pytest.mark.timeout(180)

CONNECT = "from moc_kernel import connect\nmoc = connect()\nprint(moc.origin)"


def moc(storage: Path, *words: str, **options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moc_server_ext.cli", *words]
    environment = environment_of(storage.parent, storage, **options)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)


def test_two_kernels_and_a_shell_share_the_storage_that_the_first_has_opened(tmp_path):
    storage = tmp_path / "storage"
    with closing(start_kernel("moc", storage)) as first, closing(start_kernel("python3", storage)) as second:
        opened = first.run(CONNECT)
        assert opened.stdout.strip() == f"embedded on {storage}"
        assert opened.stderr.count("\n") == 1
        endpoint = read_endpoint_file(storage)
        assert endpoint["embedded"] is True
        assert (storage / "endpoint.json").stat().st_mode & 0o777 == 0o600
        joined = second.run("%load_ext moc_kernel\n" + CONNECT)
        assert joined.stdout.strip() == f"server {endpoint['url']}"
        second.do("%moc kv set k 'from the second'")
        assert first.do("print(moc.kv['k'].decode())") == "from the second"
        shell = moc(storage, "kv", "get", "k")
        assert (shell.stdout, shell.stderr) == ("from the second", "")

        # The owner ends: the second one says so, opens nothing by itself, and opens the storage when asked.
        first.end(now=False)
        assert read_endpoint_file(storage) == {}
        assert second.run("%moc kv get k").error_name == "ServerUnreachableError"
        assert read_endpoint_file(storage) == {}
        again = second.run("moc = connect()\nprint(moc.origin, moc.kv['k'].decode())")
        assert again.stdout.strip() == f"embedded on {storage} from the second"
        assert "no server found" in again.stderr
        # A restarted kernel finds what was stored.
        second.restart()
        assert second.do("%load_ext moc_kernel\n%moc kv get k") == "from the second"


def test_the_owner_that_was_killed_leaves_a_storage_that_the_next_one_opens(tmp_path):
    storage = tmp_path / "storage"
    script = "from moc_server_ext.client import connect; import os; connect().kv['k'] = b'v'; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], env=environment_of(tmp_path, storage), timeout=100)
    assert read_endpoint_file(storage)["embedded"] is True
    assert moc(storage, "kv", "get", "k").stdout == "v"
    assert read_endpoint_file(storage) == {}


def test_a_program_that_does_not_close_its_client_takes_the_announcement_back_at_its_end(tmp_path):
    storage = tmp_path / "storage"
    script = "from moc_server_ext.client import connect; moc = connect(); moc.kv['k'] = b'v'"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment_of(tmp_path, storage),
        capture_output=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (storage / "endpoint.json").exists()


def test_commands_that_start_at_the_same_time_take_turns_and_serve_nobody(tmp_path):
    storage = tmp_path / "storage"
    Cluster.open(storage).close()
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "moc_server_ext.cli", "kv", "set", f"k{number}", "v"],
            env=environment_of(tmp_path, storage),
        )
        for number in range(4)
    ]
    announced = False
    while any(each.poll() is None for each in commands):
        announced = announced or (storage / "endpoint.json").exists()
    assert not announced
    assert [each.returncode for each in commands] == [0] * 4
    with Cluster.open(storage) as cluster:
        assert len(cluster.kv.list()) == 4


def test_whoever_waits_for_the_lock_gets_it_when_it_is_free(tmp_path, monkeypatch):
    monkeypatch.delenv("MOC_ENDPOINT_FILE", raising=False)
    holder = Cluster.open(tmp_path / "storage")
    refused = threading.Event()
    opened: list[str] = []

    def wait() -> None:
        with discover(None, None, ca_file=None, storage=tmp_path / "storage", serve=False) as client:
            opened.append(client.origin)

    real_open = Cluster.open

    def watched(*arguments, **options):
        try:
            return real_open(*arguments, **options)
        except LockedStorageError:
            refused.set()
            raise

    monkeypatch.setattr(Cluster, "open", watched)
    waiting = threading.Thread(target=wait)
    waiting.start()
    assert refused.wait(60)
    holder.close()
    waiting.join(60)
    assert opened == [f"embedded on {tmp_path / 'storage'}"]
    assert not os.path.exists(tmp_path / "storage" / "endpoint.json")

"""The size of what is stored is not that of memory, neither the server's nor the command line's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from moc_server_ext.client.http import HttpPlatform
from support import clean_environment

MIB = 1 << 20
PART = bytes(range(256)) * 1024


def resident_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def parts(count: int) -> Iterator[bytes]:
    return (PART for _ in range(count))


def test_256_mib_come_and_go_in_64_mib_of_memory(serve):
    server = serve()
    endpoint = server.endpoint
    with contextlib.closing(HttpPlatform(endpoint["url"], endpoint["token"], endpoint["ca_file"])) as platform:
        platform.buffers.put("warm", parts(8))
        assert sum(map(len, platform.buffers.parts("warm"))) == 8 * len(PART)
        idle = resident_bytes(server.process.pid, "VmRSS")
        count = 256 * MIB // len(PART)
        assert platform.buffers.put("large", parts(count)).size == 256 * MIB
        assert sum(map(len, platform.buffers.parts("large"))) == 256 * MIB
        blob = platform.blobs.put(parts(count))
        assert sum(map(len, platform.blobs.parts(blob.blob_id))) == 256 * MIB
        assert resident_bytes(server.process.pid, "VmHWM") - idle <= 64 * MIB


def test_a_server_takes_what_its_configuration_allows(serve, tmp_path):
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps({"MocExtension": {"max_body_bytes": 3 * MIB}}))
    server = serve(environment={"JUPYTER_CONFIG_DIR": str(tmp_path)})
    endpoint = server.endpoint
    with contextlib.closing(HttpPlatform(endpoint["url"], endpoint["token"], endpoint["ca_file"])) as platform:
        assert platform.buffers.put("x", parts(12)).size == 3 * MIB
        file = tmp_path / "file"
        file.write_bytes(bytes(3 * MIB + 1))
        command = [sys.executable, "-m", "moc_server_ext.cli", "--storage", str(server.storage)]
        done = subprocess.run([*command, "buffer", "put", "y", str(file)], capture_output=True, env=clean_environment())
        assert done.returncode == 1
        assert done.stderr.startswith(b"moc: error[body_too_large]")


def test_the_command_line_stores_and_gives_a_large_file_without_holding_it(serve, tmp_path):
    server = serve()
    file, copy = tmp_path / "large", tmp_path / "copy"
    with file.open("wb") as target:
        for part in parts(96 * MIB // len(PART)):
            target.write(part)

    def peak(*words: str, stdin: Path | None = None, stdout: Path | None = None) -> int:
        with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as target:
            command = [sys.executable, "-m", "moc_server_ext.cli", "--storage", str(server.storage), *words]
            child = subprocess.Popen(command, stdin=source, stdout=target, env=clean_environment())
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_maxrss << 10

    idle = peak("buffers")
    for words, streams in (
        (("buffer", "put", "a", str(file)), {}),
        (("buffer", "put", "b", "-"), {"stdin": file}),
        (("buffer", "get", "a"), {"stdout": copy}),
        (("buffer", "get", "--output-file", str(copy), "b"), {}),
    ):
        assert peak(*words, **streams) - idle <= 64 * MIB, words
        if words[1] == "get":
            assert copy.stat().st_size == file.stat().st_size
            copy.unlink()

"""An ordinary Jupyter server with the extension, as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

TOKEN = "jupyter-token"


class Jupyter:
    """An ordinary `jupyter server` that loads the extension from its configuration."""

    def __init__(self, directory: Path, environment: dict[str, str], *options: str) -> None:
        command = [sys.executable, "-m", "jupyter_server", "--ServerApp.port=0", "--no-browser", "--allow-root"]
        command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.ip=127.0.0.1", *options]
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.log: list[str] = []
        self.url = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            found = re.search(r"(http://127\.0\.0\.1:\d+/\S*?)(?:\?|$)", line.strip())
            if found:
                self.url = found[1]
            if "Use Control-C" in line:
                break
        # The rest is read on the side, so that a full pipe never stops the server.
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stdout or ()))
        self._reader.start()
        self.http = httpx.Client(trust_env=False, timeout=30)

    @property
    def api(self) -> str:
        return self.url + "moc/api/v1/"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"token {TOKEN}", **options.pop("headers", {})}
        self.http.cookies.clear()
        return self.http.request(method, self.api + path, headers=headers, **options)

    def stop(self) -> str:
        """End it and give all that it logged."""
        self.http.close()
        self.process.terminate()
        self.process.wait(30)
        self._reader.join(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return "".join(self.log)

    def wait_until_it_answers(self) -> None:
        """Its log speaks before its event loop runs."""
        while True:
            assert self.process.poll() is None
            try:
                self.http.get(self.api + "status")
                return
            except httpx.TransportError:
                continue


def environment(tmp_path: Path, storage: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JUPYTER", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "MOC_STORAGE": str(storage)}

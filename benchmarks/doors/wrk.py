"""The load generator ``wrk``, where it is installed: what others measure with, beside our own (:mod:`.load`)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .load import Target

_RATE = re.compile(r"^Requests/sec:\s*([\d.]+)", re.MULTILINE)
_SECONDS_MORE = 30


def is_installed() -> bool:
    """Tell whether ``wrk`` is there."""
    return shutil.which("wrk") is not None


def rate(target: Target, request: bytes, *, connections: int, seconds: float) -> float:
    """Send one request again and again, and give the answers a second.

    Parameters
    ----------
    request
        As :meth:`.load.Target.request` writes it.

    Raises
    ------
    RuntimeError
        There were answers that are no success, or none.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    lines = [f"wrk.method = {_quoted(method)}", f"wrk.body = {_quoted(body.decode('latin-1'))}"]
    for field in fields:
        name, _, value = field.partition(": ")
        if name not in ("Host", "Content-Length"):
            lines.append(f"wrk.headers[{_quoted(name)}] = {_quoted(value)}")
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "request.lua"
        script.write_text("\n".join(lines), encoding="latin-1")
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", script, target.url.rstrip("/") + path],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _SECONDS_MORE,
        )
    found = _RATE.search(done.stdout)
    if done.returncode or found is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    return float(found[1])


def _quoted(text: str) -> str:
    escaped = "".join(each if each.isalnum() or each in " ./:=-_" else f"\\{ord(each):03d}" for each in text)
    return f'"{escaped}"'

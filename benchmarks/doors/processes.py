"""What Linux tells about the memory and the processor time of a process."""

from __future__ import annotations

import os
from pathlib import Path


def _status_bytes(pid: int | str, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/{pid}/status has no {field}")


def resident_bytes(pid: int | str = "self") -> int:
    """Give the resident memory now."""
    return _status_bytes(pid, "VmRSS:")


def peak_resident_bytes(pid: int | str = "self") -> int:
    """Give the most resident memory since the process began or :func:`reset_peak`."""
    return _status_bytes(pid, "VmHWM:")


def reset_peak(pid: int | str = "self") -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_seconds(pid: int) -> float:
    """Give the processor time that all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

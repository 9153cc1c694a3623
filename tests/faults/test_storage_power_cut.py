"""A power cut: what had reached the disk at that moment is all there is, and every acknowledged write is in it.

The disk is a file. A copy of the file, taken without synchronising anything, is the disk as the cut leaves it: writes
that only the kernel's memory held are missing from it. The writer and its model are those of the kill test.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.storage import Storage

CUTS = 5
WRITES_BEFORE_A_CUT = 45


def load_kill_test() -> Any:
    spec = importlib.util.spec_from_file_location("kill", Path(__file__).with_name("test_storage_kill.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill"] = module
    spec.loader.exec_module(module)
    return module


def run(*command: str | Path) -> bool:
    try:
        return subprocess.run([str(each) for each in command], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk_file(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Give a file that is an ext4 disk, and the directory where it is mounted."""
    file, directory = tmp_path / "disk", tmp_path / "mounted"
    directory.mkdir()
    with open(file, "wb") as disk:
        disk.truncate(96 << 20)
    if not (run("mkfs.ext4", "-q", "-F", file) and run("mount", "-o", "loop", file, directory)):
        pytest.skip("simulating a power cut needs root, mkfs.ext4 and loop devices")
    yield file, directory
    assert run("umount", directory)


def test_every_acknowledged_write_survives_a_power_cut(disk_file: tuple[Path, Path], tmp_path: Path) -> None:
    kill = load_kill_test()
    file, directory = disk_file
    model, number = kill.Model(), 0
    with Storage.open(directory / "storage") as storage:
        for cut in range(CUTS):
            for _ in range(WRITES_BEFORE_A_CUT + cut):
                kill.write(storage, number, "all")
                model.apply(number, "all")
                number += 1
            # Written and not synchronised: to be lost, or the simulation shows nothing.
            (directory / f"lost{cut}").write_bytes(b"lost" * 1000)
            left, mounted = tmp_path / f"left{cut}", tmp_path / f"mounted{cut}"
            mounted.mkdir()
            assert run("cp", "--sparse=always", file, left)
            assert run("mount", "-o", "loop", left, mounted)
            try:
                lost = mounted / f"lost{cut}"
                assert not lost.exists() or lost.read_bytes() != b"lost" * 1000
                with Storage.open(mounted / "storage") as after:
                    assert kill.found(after) == model
            finally:
                assert run("umount", mounted)
                left.unlink()

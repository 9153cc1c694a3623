"""How long a storage takes to start that holds much: from opening the cluster to its first status.

Run it by itself: ``python -m benchmarks.storage_start [NAMES KEYS]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import apsw
import google_crc32c

from moc_server_ext.cluster import Cluster
from moc_server_ext.storage.storage import CATALOG_FILE

NAMES = 100_000
KEYS = 1_000_000
_VALUE = bytes(100)


def fill(path: Path, names: int, keys: int) -> None:
    """Make a storage with so many names, all of one function, and so many keys."""
    with Cluster.open(path) as moc:
        moc.functions.put("f", b"\0asm\1\0\0\0")
    catalog = apsw.Connection(str(path / CATALOG_FILE))
    with catalog:
        catalog.executemany(
            "INSERT INTO names "
            "SELECT ?, blob_id, content_type, size, attributes, created_at FROM names WHERE name = 'f'",
            ((f"function/{number:07}",) for number in range(names - 1)),
        )
        checksum = google_crc32c.value(_VALUE)
        catalog.executemany(
            "INSERT INTO keyvalues VALUES (?, ?, ?, NULL, ?)",
            ((b"key/%08d" % number, len(_VALUE), checksum, _VALUE) for number in range(keys)),
        )
    catalog.close()


def measure(path: Path, storage_bytes: int = 0) -> tuple[float, float]:
    """Give the seconds that opening takes, and those until the first status is told."""
    begin = time.perf_counter()
    with Cluster.open(path, storage_bytes=storage_bytes) as moc:
        opened = time.perf_counter()
        moc.status()
        return opened - begin, time.perf_counter() - begin


def main() -> None:
    """Measure, and print it."""
    names, keys = (int(each) for each in sys.argv[1:3]) if len(sys.argv) > 2 else (NAMES, KEYS)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "storage"
        fill(path, names, keys)
        for label, storage_bytes in (("", 0), (", with a quota", 1 << 40)):
            opened, told = min(measure(path, storage_bytes) for _ in range(3))
            print(f"{names:,} names, {keys:,} keys{label}: open after {opened:.2f} s, first status after {told:.2f} s")


if __name__ == "__main__":
    main()

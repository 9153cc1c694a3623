"""The copy of the catalog that is taken before it is upgraded, so that the way back is open.

``before-format-N/`` holds ``catalog.sqlite3`` and ``FORMAT.json`` as they were before the directory got format N. The
order: copy aside → synchronise → rename → upgrade in one transaction → ``FORMAT.json``. Whoever dies in between finds
the earlier catalog, and the next opening begins again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw

from .files import FILE_MODE, make_directory, replace_file, sync_directory, sync_file
from .ownership import FORMAT_FILE


def copy_before(directory: Path, connection: apsw.Connection, target: int) -> None:
    """Copy catalog and ``FORMAT.json`` of the storage `directory` aside; durable on return.

    Raises
    ------
    OSError
        Or an error of SQLite: nothing was upgraded; an unfinished copy is replaced the next time.
    """
    final = directory / f"before-format-{target}"
    aside = directory / f"{final.name}.new"
    shutil.rmtree(aside, ignore_errors=True)
    make_directory(aside)
    catalog = aside / "catalog.sqlite3"
    copy = apsw.Connection(str(catalog))
    try:
        catalog.chmod(FILE_MODE)
        # In one step: nobody writes meanwhile.
        with copy.backup("main", connection, "main") as backup:
            backup.step()
        # The copy is one file, also when somebody opens it without its log.
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        copy.close()
    sync_file(catalog)
    replace_file(aside / FORMAT_FILE, (directory / FORMAT_FILE).read_bytes())
    # One that lies there is of an earlier upgrade, after which somebody went back.
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    sync_directory(directory)

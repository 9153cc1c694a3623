"""Removing backups, and what no other backup needs: the manifest first, so that none is left that lacks something."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from ...errors import BackupError
from ..targets.target import Target
from .copying import Progress, Work
from .layout import (
    BACKUPS,
    CATALOGS,
    LOG,
    MANIFEST_FILE,
    Found,
    backup_key,
    catalog_key,
    object_key,
    read_objects,
    read_unfinished,
)
from .locking import TargetLock
from .manifest import Manifest


def prune(
    target: Target, lock: TargetLock, found: Found, *, keep: int | None, progress: Progress | None = None
) -> list[str]:
    """Remove all but the newest backups, and what is left of unfinished ones; give the ids of those removed.

    What a log continues from stays, and all that came after it. Whatever interrupts it: each backup that is left is
    whole, and the next time the rest goes. Damaged manifests are nobody's to judge: while there are any, no object is
    removed.

    Raises
    ------
    BackupError
        One that stays cannot be read, so that nobody knows what it needs. No object was removed.
    BackupTargetError
        The target refused; what was to be removed may be there still.
    """
    has_log = next(iter(target.list(LOG)), None) is not None
    old = [] if keep is None else found.manifests[: max(0, len(found.manifests) - keep)]
    if has_log:
        old = _before_bases(target, old, found)
    lock.check()
    for each in old:
        target.delete(backup_key(each.record.id, MANIFEST_FILE))
    removed = [each.record.id for each in old]
    if found.damaged:
        return removed
    # Of those that were interrupted the log may need something: who knows when they began.
    half = removed if has_log else [*found.unfinished, *removed]
    kept = [each for each in found.manifests if each not in old]
    candidates = set(read_unfinished(target, half)) - _needed(target, kept)
    lock.check()
    work = Work("removing what no backup needs", 0, progress)
    for _ in work.run(map(object_key, sorted(candidates)), target.delete):
        pass
    catalogs = {catalog_key(each.catalog_sha256) for each in kept}
    for key in [key for key, _ in target.list(CATALOGS) if key not in catalogs]:
        target.delete(key)
    # Last: they say what is to be removed.
    for backup_id in half:
        for key in [key for key, _ in target.list(f"{BACKUPS}{backup_id}/")]:
            target.delete(key)
    return removed


def _needed(target: Target, kept: Iterable[Manifest]) -> set[str]:
    needed: set[str] = set()
    for each in kept:
        try:
            needed.update(read_objects(target, each))
        except ValueError as error:
            raise BackupError(each.record.id, target.url, [str(error)]) from error
    return needed


def _before_bases(target: Target, old: list[Manifest], found: Found) -> list[Manifest]:
    """Leave out what a log continues from, and what came after it: objects of the log are in those backups, too."""
    bases: set[str] = set()
    for key in [key for key, _ in target.list(LOG) if key.endswith("/base.json")]:
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            bases.add(str(json.loads(target.get(key) or b"")["backup"]))
    numbers = [each.record.number for each in found.manifests if each.record.id in bases]
    return [each for each in old if numbers and each.record.number < min(numbers)]

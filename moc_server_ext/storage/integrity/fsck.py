"""The check of everything that is stored, and what may be done about what it finds: ``moc fsck``.

Runs while others read and write: the catalog is looked at as of one moment, and no object file that it refers to goes
until the check has ended. Nothing is changed unless it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from ...model import FINDINGS_MAX, CheckProgress, CheckReport, Finding
from ..catalog import Catalog
from ..objects import Objects
from .catalog_check import CatalogFacts, check_catalog
from .object_check import Found, check_objects
from .quick import is_known
from .repairs import Repairs
from .stored_things import Thing


def fsck(
    catalog: Catalog, objects: Objects, repairs: Repairs, *, quick: bool, repair: bool, remove_damaged: bool
) -> Generator[CheckProgress, None, CheckReport]:
    """Check the storage; may be ended after any step, which leaves everything as it is.

    Parameters
    ----------
    quick
        Look at the catalog's structure and at the sizes of object files, and read none of them.
    repair
        Remove the files that nothing refers to.
    remove_damaged
        Remove also what is damaged: whole buffers, blobs, values, and names whose blob is not there.

    Raises
    ------
    ReadOnlyStorageError, StorageFullError, StorageError
        Something could not be removed; what was removed until then is gone.
    """
    begun = time.monotonic()
    facts = CatalogFacts()
    total = catalog.size()
    with objects.pins.looking():
        # Before the moment, so that what is published meanwhile is in neither.
        present = objects.list_ids()
        with catalog.moment() as moment:
            for _ in check_catalog(moment, objects, facts, quick=quick):
                yield CheckProgress("checking the catalog", 0, total)
        sizes = {each.object_id: each.size for each in facts.references}
        done = catalog_bytes = total
        total = catalog_bytes + sum(sizes.values())
        checking = check_objects(facts.references, objects, quick=quick)
        while True:
            try:
                done += next(checking)
            except StopIteration as end:
                found: list[Found] = end.value
                break
            yield CheckProgress("checking object files", done, total)
        damaged = [*facts.findings, *found]
        strays = [each for each in present - sizes.keys() if not is_known(catalog, each)]
    # After the hold: what is removed now need not stay for this check.
    findings = list(_removed(repairs, damaged) if remove_damaged else (finding for finding, _ in damaged))
    for each in sorted(strays):
        gone = (repair or remove_damaged) and repairs.remove_stray(each)
        findings.append(
            Finding("orphan", f"the object file {each}", "nothing refers to it", "it was removed" if gone else "")
        )
    return CheckReport(
        quick,
        facts.entries,
        len(sizes),
        sum(sizes.values()),
        tuple(findings[:FINDINGS_MAX]),
        len(findings[FINDINGS_MAX:]),
        round(time.monotonic() - begun, 3),
    )


def _removed(repairs: Repairs, damaged: list[tuple[Finding, Thing | None]]) -> Generator[Finding, None, None]:
    """Remove what is damaged, each thing in a transaction of its own, and give the findings with what was done."""
    gone: set[Thing] = set()
    for finding, thing in damaged:
        if thing is not None and thing.table != "names" and thing.is_removable:
            if thing not in gone:
                repairs.remove_damaged(thing)
                gone.add(thing)
            yield replace(finding, repaired="it was removed")
        elif finding.kind == "name_without_blob" and thing is not None:
            repairs.remove_name(str(thing.key))
            yield replace(finding, repaired="it was removed")
        else:
            yield finding

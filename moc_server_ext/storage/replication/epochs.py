"""Epochs: whose turn it is to write to a target's log. There is one at a time, and who lost it learns so.

Each server that begins to ship, and each standby that is promoted, takes the next number: it creates
``epochs/<number>.json``, which only one can (:meth:`~..targets.target.Target.put_new`). Numbers have no gaps, so that
to see whether somebody took over is to look for one object.

This fences exactly, and needs no clock: whoever ships acknowledges a commit only if, *after* the record was on the
target, the next number was not taken. Whoever takes it reads the log to its end *after* that. So an acknowledged
commit was on the target before the number was taken, and is read.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from ...errors import BackupTargetError
from ..targets.target import Target

_KEY: Final = re.compile(r"epochs/([0-9]{8})\.json")
_NUMBER_MAX: Final = 10**8 - 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """One turn.

    Parameters
    ----------
    number
        Counts from 1.
    instance_id
        Whose turn it is.
    reason
        ``serve`` for a server that began to ship, ``promote`` for a standby that took over.
    at
        When it was taken, by its holder's clock, in seconds since the epoch, UTC.
    """

    number: int
    instance_id: str
    reason: str
    at: float

    def to_json(self) -> dict[str, Any]:
        """Give what is written to the target."""
        return {"epoch": self.number, "instance_id": self.instance_id, "reason": self.reason, "at": self.at}


def key_of(number: int) -> str:
    """Give the key of an epoch."""
    return f"epochs/{number:08d}.json"


def list_epochs(target: Target) -> list[Epoch]:
    """Read all epochs of a target, the first one first.

    Raises
    ------
    BackupTargetError
        The target cannot be read, or one of them cannot be understood.
    """
    numbers = sorted(int(found[1]) for key, _ in target.list("epochs/") if (found := _KEY.fullmatch(key)))
    return [read_epoch(target, number) for number in numbers]


def newest_epoch(target: Target) -> Epoch | None:
    """Read the epoch that holds now; None where nobody has shipped anything yet."""
    numbers = [int(found[1]) for key, _ in target.list("epochs/") if (found := _KEY.fullmatch(key))]
    return read_epoch(target, max(numbers)) if numbers else None


def is_taken(target: Target, number: int) -> bool:
    """Tell whether somebody has taken the epoch `number`; cheap."""
    return target.size(key_of(number)) is not None


def take_epoch(target: Target, after: int, instance_id: str, reason: str) -> Epoch | None:
    """Take the epoch that follows `after` (0 for the first one); None when somebody else was first.

    Raises
    ------
    BackupTargetError
        The target refuses. Whether the epoch was taken is not known; :func:`newest_epoch` tells.
    """
    if after >= _NUMBER_MAX:
        raise BackupTargetError(target.url, "its epochs are used up", what="begin another epoch")
    epoch = Epoch(after + 1, instance_id, reason, time.time())
    if target.put_new(key_of(epoch.number), json.dumps(epoch.to_json()).encode() + b"\n"):
        return epoch
    # A request that was repeated below us finds its own object there.
    found = read_epoch(target, epoch.number)
    return found if found == epoch else None


def read_epoch(target: Target, number: int) -> Epoch:
    """Read an epoch that was taken; BackupTargetError if it cannot be understood."""
    text = target.get(key_of(number))
    try:
        body = json.loads(text or b"")
        instance_id, reason, at = body["instance_id"], body["reason"], body["at"]
        if not (isinstance(instance_id, str) and isinstance(reason, str) and isinstance(at, int | float)):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BackupTargetError(
            target.url, f"its {key_of(number)!r} is no epoch of a replication log", what="be read"
        ) from error
    return Epoch(number, instance_id, reason, float(at))

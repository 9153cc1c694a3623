"""Replication of one open storage: as a primary that ships, as a standby that follows, or as one that became a primary.

Owns which of these a storage is now. How is in :mod:`.shipper` and :mod:`.follower`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import ConflictError, InvalidInputError, MocError
from ..targets.opening import open_target
from ..targets.target import Target
from .follower import Follower
from .shipper import LogShipper
from .standby import read_standby

if TYPE_CHECKING:
    from ..storage import Storage


class Replication:
    """What one storage ships to, or follows. Thread-safe.

    Parameters
    ----------
    replicate_to
        The target that commits are shipped to; for a standby, once it is promoted. Empty: none.
    synchronous
        Whether a write is acknowledged only when it is on the target.
    follow
        The target that the storage follows. Empty: none.

    Raises
    ------
    ReplicationError, BackupTargetError, InvalidInputError
        It cannot begin. Nothing runs, and the storage is as it was.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        replicate_to: str = "",
        synchronous: bool = False,
        follow: str = "",
        opener: Callable[[str], Target] = open_target,
    ) -> None:
        if synchronous and not replicate_to:
            raise InvalidInputError("Synchronous replication needs a target: give --replicate-to as well.")
        self._storage = storage
        self._replicate_to = replicate_to
        self._synchronous = synchronous
        self._open_target = opener
        self._lock = threading.Lock()
        self._shipper: LogShipper | None = None
        self._follower: Follower | None = None
        standby = read_standby(storage.path)
        if follow:
            self._follower = self._make_follower(follow)
            self._follower.start()
        elif replicate_to and standby is not None:
            raise ConflictError(
                f"{str(storage.path)!r} is a standby of {standby.target!r}, which ships nothing: give --follow, "
                "or promote it first (`moc promote`)."
            )
        elif replicate_to:
            self._ship()

    @property
    def shipper(self) -> LogShipper | None:
        """What ships, if this is a primary with a target."""
        return self._shipper

    @property
    def follower(self) -> Follower | None:
        """What follows, if this is a standby."""
        return self._follower

    def promote(self) -> dict[str, Any]:
        """Make the standby the primary: reads the log to its end, and ends the turn of whoever wrote it.

        Returns
        -------
        dict
            As :meth:`.Follower.promote` gives.

        Raises
        ------
        ConflictError
            The storage is no standby.
        ReplicationError, BackupTargetError
            It is a standby still; see :meth:`.Follower.promote`. Or it was promoted, and cannot ship.
        """
        with self._lock:
            follower = self._follower
            if follower is None:
                standby = read_standby(self._storage.path)
                if standby is None:
                    raise ConflictError("This storage is no standby: it is a primary already, and follows nobody.")
                follower = self._make_follower(standby.target)
            try:
                promoted = follower.promote()
            except BaseException:
                if self._follower is None:
                    # Promoted without a server that follows: what was begun for it ends with it.
                    follower.close()
                raise
            self._follower = None
            follower.close()
            if self._replicate_to:
                self._ship()
            return promoted

    def status(self) -> dict[str, Any]:
        """Tell which of them it is, and how far; empty for a storage that neither ships nor follows."""
        follower, shipper = self._follower, self._shipper
        if follower is not None:
            return {"role": "standby", **follower.status()}
        if shipper is not None:
            return {"role": "primary", **shipper.status()}
        standby = read_standby(self._storage.path)
        return {} if standby is None else {"role": "standby", "target": standby.target, "state": "not following"}

    def close(self) -> None:
        """Ship what is left, for a bounded time, and end; idempotent."""
        with self._lock:
            shipper, self._shipper = self._shipper, None
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()
        if shipper is not None:
            shipper.close()
            with contextlib.suppress(MocError):
                self._storage.ship_to(None, 0)

    def _make_follower(self, target: str) -> Follower:
        opened = self._open_target(target)
        try:
            return Follower(self._storage, opened)
        except BaseException:
            opened.close()
            raise

    def _ship(self) -> None:
        sequence = self._storage.sequence()
        shipper = LogShipper(
            self._storage.replication_source(),
            self._open_target(self._replicate_to),
            sequence,
            synchronous=self._synchronous,
        )
        # Before the base is made: what it lacks must be told.
        self._storage.ship_to(shipper, sequence)
        try:
            shipper.start()
        except BaseException:
            self._storage.ship_to(None, 0)
            shipper.close()
            raise
        self._shipper = shipper

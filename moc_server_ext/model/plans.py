"""Plans and runs: a map-reduce, and one execution of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from ..errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class MapReduce:
    """An immutable map-reduce plan over the lines of one stored buffer.

    Parameters
    ----------
    source
        Name of the buffer whose lines are the input.
    map, combine, reduce
        Function names; `map` and `reduce` follow the Hadoop Streaming convention (lines in, ``key<TAB>value`` lines
        out).
    split_bytes
        Size of a split; splits end at a line's end.
    partitions
        Into how many parts the sorted pairs are cut for the reducers.
    sink
        Name of the buffer that receives the output; None returns it only.
    threads
        How many tasks run at once; 0 is one per processor.
    """

    source: str
    map: str
    combine: str | None = None
    reduce: str | None = None
    split_bytes: int = 4 << 20
    partitions: int = 1
    sink: str | None = None
    threads: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the body of ``POST runs``."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read and check a plan that came from outside."""
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(body) - known)
        if unknown:
            raise InvalidInputError(f"A plan has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}.")
        for name in ("source", "map"):
            if not isinstance(body.get(name), str):
                raise InvalidInputError(f"A plan needs {name!r}, a name as text.")
        for name in ("combine", "reduce", "sink"):
            if not isinstance(body.get(name), str | None):
                raise InvalidInputError(f"Field {name!r} of a plan is a name as text.")
        for name, least in (("split_bytes", 1), ("partitions", 1), ("threads", 0)):
            value = body.get(name, least)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 1 << 40:
                raise InvalidInputError(f"Field {name!r} of a plan is a whole number of at least {least}.")
        return cls(**body)


class RunState(StrEnum):
    """Where a run is in its life."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a plan, as it is now.

    Parameters
    ----------
    stage
        The stage that is running: ``map`` or ``reduce``.
    tasks_done, tasks_total
        Progress of the whole run, in tasks; the total can grow when a stage begins.
    output_bytes
        Size of the output once it is done.
    duration_us
        Wall time so far, in microseconds.
    error
        The error's JSON when the run failed.
    """

    run_id: str
    plan: MapReduce
    state: RunState
    stage: str
    tasks_done: int
    tasks_total: int
    output_bytes: int = 0
    duration_us: int = 0
    error: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET runs/{id}``."""
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**body, "plan": self.plan.to_json(), "state": self.state.value}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(**{**body, "plan": MapReduce.from_json(body["plan"]), "state": RunState(body["state"])})

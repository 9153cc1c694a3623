"""Something to be waited for before a host function can do its one thing: how the two are put together.

Descriptors and virtual files say what they must wait for; the functions of WASI say what comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ...guest_api.registry import Waiting

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Later(Generic[T]):
    """A value that is there after something was waited for.

    Parameters
    ----------
    waiting
        What to wait for; its ``finish`` may refuse by raising, and its number means nothing.
    give
        Gives the value afterwards; must not block, and may refuse by raising.
    """

    waiting: Waiting
    give: Callable[[], T]


def then(waiting: Waiting, act: Callable[[], int]) -> Waiting:
    """Wait for the same, finish it, and then `act`, whose number the guest gets; not if finishing raised."""
    finish = waiting.finish

    def both(outcome: Any) -> int:
        finish(outcome)
        return act()

    return replace(waiting, finish=both)


def lastly(waiting: Waiting, act: Callable[[], int]) -> Waiting:
    """Do as :func:`then` does, and `act` as well if finishing raised: the guest gets that refusal."""
    finish = waiting.finish

    def both(outcome: Any) -> int:
        try:
            finish(outcome)
        except BaseException:
            act()
            raise
        return act()

    return replace(waiting, finish=both)

"""The two import modules, still empty: the files beside this one declare their functions on them."""

from __future__ import annotations

from collections.abc import Callable

from ...guest_api.registry import Body, GuestModule, Waits

PREVIEW1 = GuestModule("wasi_snapshot_preview1", negative_errors=False)
UNSTABLE = GuestModule("wasi_unstable", negative_errors=False)


def both(name: str, *, waits: Waits = False) -> Callable[[Body], Body]:
    """Declare a function that is the same in both versions."""

    def declare(body: Body) -> Body:
        return UNSTABLE.function(name, waits=waits)(PREVIEW1.function(name, waits=waits)(body))

    return declare

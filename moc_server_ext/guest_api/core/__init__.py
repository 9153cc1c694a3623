"""The guest API ``core`` (also under its first name, ``my-own-cluster``).

Exchange buffers, text, log and clock, persistence, blobs, calls, outbound requests, the platform as a whole.

Numbers are ``i32``; strings and bytes are a pointer and a length. Refusals are negative numbers, -errno. A function
that gives bytes, a string or a map back returns the id of a new exchange buffer that holds it (a map as a JSON object);
the guest reads it and calls ``free_buffer``. Ids of other calls are unknown, and every pointer is checked.
"""

from __future__ import annotations

from . import (  # noqa: F401 - these declare the functions
    blobs,
    calls,
    early,
    exchange,
    network,
    persistence,
    platform,
    text,
)
from .module import CORE

__all__ = ["CORE"]

"""Virtual files: paths that lead out of the private tree, to what the call may reach of the platform.

:data:`SCHEMES` says which there are; :mod:`..paths` recognises them in a path, :mod:`..names` asks them.
"""

from __future__ import annotations

from collections.abc import Mapping

from .api import ApiScheme
from .base import Asked, Scheme
from .blob import BlobScheme
from .buffer import BufferScheme
from .call import CallScheme
from .http import HttpScheme
from .kv import KvScheme

SCHEMES: Mapping[bytes, Scheme] = {
    b"api": ApiScheme(),
    b"http": HttpScheme("http://"),
    b"https": HttpScheme("https://"),
    b"buffer": BufferScheme(),
    b"blob": BlobScheme(),
    b"kv": KvScheme(),
    b"call": CallScheme(),
}

__all__ = ["SCHEMES", "Asked", "Scheme"]

"""Limits and grants: what a function may use, and what it may reach."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

from ..errors import InvalidInputError
from .hosts import parse_host, split_authority
from .words import Number

# Beyond it a number has no meaning as a limit, and from some length on Python writes none.
_TOO_LARGE: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call tree may use. Bytes are bytes, time is wall time in seconds."""

    memory_bytes: int = 256 << 20
    timeout_seconds: float = 60.0
    output_bytes: int = 256 << 20
    stderr_bytes: int = 1 << 20
    scratch_bytes: int = 64 << 20
    open_files: int = 128
    call_depth: int = 16
    buffers: int = 1024
    response_bytes: int = 64 << 20

    def narrowed(self, changes: Mapping[str, Number]) -> Self:
        """Apply `changes`, each of which may only lower its limit; a higher one leaves it as it is."""
        return replace(self, **{name: min(value, getattr(self, name)) for name, value in changes.items()})

    def replaced(self, changes: Mapping[str, Number]) -> Self:
        """Apply `changes` in either direction: for who sets the limits, not for who is held by them."""
        return type(self)(**{**self.to_json(), **changes})  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Number]:
        """Give all limits by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


_KINDS: Final = {each.name: float if each.name == "timeout_seconds" else int for each in fields(Limits)}


def parse_limits(pairs: Sequence[str]) -> dict[str, Number]:
    """Read ``NAME=VALUE`` pairs such as ``timeout_seconds=2``; sizes take KiB, MiB and GiB."""
    limits: dict[str, Number] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        kind = _KINDS.get(name)
        if not equals or kind is None:
            raise InvalidInputError(
                f"{pair!r} is no limit: expected NAME=VALUE with a name of {', '.join(_KINDS)}.", limit=pair
            )
        try:
            value: Number = float(text) if kind is float else parse_size(text)
        except ValueError:
            value = -1
        if not 0 < value < _TOO_LARGE:
            raise InvalidInputError(
                f"Limit {name} = {text[:64]!r} is not a positive number below 2**63.", limit=pair[:128]
            )
        limits[name] = value
    return limits


def parse_size(text: str) -> int:
    """Read a number of bytes: ``4096``, ``64KiB``, ``4MiB``, ``1GiB``.

    Raises
    ------
    ValueError
        `text` is none of these.
    """
    for suffix, shift in (("KiB", 10), ("MiB", 20), ("GiB", 30)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) << shift
    return int(text)


@dataclass(frozen=True, slots=True)
class Grants:
    """What a function may reach beyond itself.

    Parameters
    ----------
    permissions
        ``KIND`` or ``KIND:PATTERN``, as given to ``moc push --grant``. ``kv`` and ``plug`` take a prefix, the others a
        glob.
    allowed_hosts
        ``HOST[:PORT]``, as given to ``--allow-host``.
    """

    permissions: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()

    @property
    def opens_files(self) -> bool:
        """Whether something that is granted can be opened like a file."""
        return any(each.partition(":")[0] in FILE_KINDS for each in self.permissions)

    def allows(self, kind: str, target: str = "") -> bool:
        """Tell whether a permission of `kind` covers `target`."""
        for permission in self.permissions:
            own_kind, colon, pattern = permission.partition(":")
            if own_kind != kind:
                continue
            if not colon:
                return True
            if target.startswith(pattern) if kind in PREFIX_KINDS else fnmatch.fnmatchcase(target, pattern):
                return True
        return False


PREFIX_KINDS: Final = frozenset({"kv", "plug"})
FILE_KINDS: Final = frozenset({"buffer", "blob", "kv", "call"})
"""Kinds of grants whose targets programs open as ``KIND://TARGET``."""

GRANT_KINDS: Final = ("kv", "buffer", "blob", "call", "plan", "plug", "register", "schedule", "status", "export")


def parse_grants(permissions: Sequence[str], allowed_hosts: Sequence[str] = ()) -> Grants:
    """Check permissions and hosts and seal them."""
    for permission in permissions:
        if permission.partition(":")[0] not in GRANT_KINDS:
            raise InvalidInputError(
                f"{permission!r} is no grant: expected one of {', '.join(GRANT_KINDS)}, "
                "with a pattern behind a colon where it has one.",
                grant=permission,
            )
    for host in allowed_hosts:
        try:
            parse_host(split_authority(host)[0])
        except ValueError as error:
            raise InvalidInputError(f"{host!r} is no HOST or HOST:PORT: {error}.", host=host) from None
    return Grants(frozenset(permissions), frozenset(allowed_hosts))

"""Modules and functions: what a module takes and offers, and what is said about a function when it is registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .limits import Grants, parse_grants
from .words import Mode, Number, parse_mode


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter and result types of a WebAssembly function (``i32``, ``i64``, ``f32``, ``f64``, ``v128``, …)."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


@dataclass(frozen=True, slots=True)
class BoundImport:
    """An import that another function satisfies: ``(import "adder" "add" …)`` is the export ``add`` of ``adder``.

    Parameters
    ----------
    function
        The callee: the import's module name.
    export
        What of it is called: the import's own name.
    signature
        The type that the importer expects; all of it numbers.
    """

    function: str
    export: str
    signature: Signature

    def __str__(self) -> str:
        return f"{self.function}.{self.export}{self.signature}"

    def to_json(self) -> dict[str, Any]:
        """Give the shape that it has in ``GET functions/{name}``."""
        return {
            "function": self.function,
            "export": self.export,
            "params": list(self.signature.params),
            "results": list(self.signature.results),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(body["function"], body["export"], Signature(tuple(body["params"]), tuple(body["results"])))


@dataclass(frozen=True, slots=True)
class ModuleInterface:
    """What a module takes from its host and offers to its callers.

    Parameters
    ----------
    imports
        ``(module, name, signature)``; the signature is None for what is no function.
    exports
        Exported functions by name.
    exports_memory
        Whether a memory named ``memory`` is exported, which the guest API and WASI need.
    bound_imports
        Those of the imports that functions must provide, because no guest API has such a module.
    """

    imports: tuple[tuple[str, str, Signature | None], ...]
    exports: Mapping[str, Signature]
    exports_memory: bool
    bound_imports: tuple[BoundImport, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the exports as ``{name: {"params": […], "results": […]}}`` and what functions must provide."""
        return {
            "exports": {
                name: {"params": list(each.params), "results": list(each.results)}
                for name, each in self.exports.items()
            },
            "imports": [each.to_json() for each in self.bound_imports],
        }


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said about a function when it is registered.

    Parameters
    ----------
    limits
        Overrides of the server's default limits, downwards only.
    reusable
        Whether a warm instance may serve several calls of one caller.
    deterministic
        Whether equal inputs give equal outputs (no clock, no random numbers).
    """

    mode: Mode | None = None
    entry: str | None = None
    grants: Grants = Grants()
    limits: Mapping[str, Number] = field(default_factory=dict)
    reusable: bool = False
    deterministic: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the declaration as it is stored and sent."""
        return {
            "mode": self.mode and self.mode.value,
            "entry": self.entry,
            "grants": sorted(self.grants.permissions),
            "allowed_hosts": sorted(self.grants.allowed_hosts),
            "limits": dict(self.limits),
            "reusable": self.reusable,
            "deterministic": self.deterministic,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            mode=parse_mode(body.get("mode")),
            entry=body.get("entry"),
            grants=parse_grants(body.get("grants", ()), body.get("allowed_hosts", ())),
            limits=dict(body.get("limits", {})),
            reusable=bool(body.get("reusable", False)),
            deterministic=bool(body.get("deterministic", False)),
        )


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """A registered function: a name that points to an executable blob.

    Parameters
    ----------
    exports
        Exported functions by name, read from the module at registration.
    imports
        What it imports from other functions.
    """

    name: str
    blob_id: str
    size: int
    content_type: str
    declaration: Declaration
    exports: Mapping[str, Signature]
    created_at: float
    imports: tuple[BoundImport, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET functions/{name}``."""
        return {
            "name": self.name,
            "blob_id": self.blob_id,
            "size": self.size,
            "content_type": self.content_type,
            **self.declaration.to_json(),
            "exports": {
                name: {"params": list(each.params), "results": list(each.results)}
                for name, each in self.exports.items()
            },
            "imports": [each.to_json() for each in self.imports],
            "created_at": self.created_at,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            name=body["name"],
            blob_id=body["blob_id"],
            size=body["size"],
            content_type=body["content_type"],
            declaration=Declaration.from_json(body),
            exports={
                name: Signature(tuple(each["params"]), tuple(each["results"]))
                for name, each in body.get("exports", {}).items()
            },
            created_at=body.get("created_at", 0.0),
            imports=tuple(BoundImport.from_json(each) for each in body.get("imports", ())),
        )

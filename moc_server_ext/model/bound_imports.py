"""Whether a registered function satisfies what another one imports from it.

The same check is made when the importer is registered and at each of its calls, because the callee may have been
replaced in between. Calling it is the guest API's and the engine's.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ..errors import MissingImportError, NotGrantedError, nearest
from .exports import is_array_export
from .functions import BoundImport, Signature
from .limits import Grants

_START: Final = "_start"
_SHOWN: Final = 50


def check_bound_import(importer: str, wanted: BoundImport, grants: Grants, exports: Mapping[str, Signature]) -> None:
    """Check that `importer` may call the function that it imports from, which has these exports, and that types agree.

    Raises
    ------
    NotGrantedError
        `grants` do not cover the callee.
    MissingImportError
        The export is not there, has another type, or is none that is called with numbers.
    """
    function, export = wanted.function, wanted.export
    found = exports.get(export)
    if found is None:
        raise _missing(
            importer,
            wanted,
            _listed(exports),
            f"and function {function!r} exports no such function",
            close=nearest(export, exports),
        )
    if export == _START:
        raise _missing(
            importer,
            wanted,
            _listed(exports),
            "which is a whole program, and imports are bound to exports that are called with numbers",
            "`call_function` runs programs.",
        )
    if is_array_export(export):
        raise _missing(
            importer,
            wanted,
            _listed(exports),
            "which is an array function, and imports are bound to exports that are called with numbers",
        )
    if found != wanted.signature:
        raise _missing(
            importer,
            wanted,
            [f"{export}{found}"],
            f"which has the type {found} in function {function!r}, and not {wanted.signature}",
            f"Declare the import with the type that is there, or register a {function!r} with the one that is wanted.",
        )
    if not grants.allows("call", function):
        raise NotGrantedError(importer, _grant(function), because=f"it imports `{function}.{export}`")


def not_registered(
    importer: str, wanted: BoundImport, functions: Iterable[str], guest_modules: Collection[str]
) -> MissingImportError:
    """Make the error for an import whose module name is neither a guest API's nor a function's."""
    return _missing(
        importer,
        wanted,
        sorted(guest_modules),
        "which no guest API and no registered function provides",
        "A function that others import is registered before them.",
        close=nearest(wanted.function, [*functions, *guest_modules]),
    )


def not_bound(importer: str, wanted: BoundImport, guest_modules: Collection[str]) -> MissingImportError:
    """Make the error for a module that runs without being registered, and so without a grant to call anything."""
    return _missing(
        importer,
        wanted,
        sorted(guest_modules),
        "which no guest API provides",
        f"If {wanted.function!r} is a function, register this module, which binds it: "
        f"`moc push --grant {shlex.quote(_grant(wanted.function))} NAME FILE`.",
    )


def _grant(function: str) -> str:
    return f"call:{glob.escape(function)}"


def _listed(exports: Mapping[str, Signature]) -> list[str]:
    return [f"{name}{signature}" for name, signature in exports.items()]


def _missing(
    importer: str,
    wanted: BoundImport,
    available: Sequence[str],
    reason: str,
    advice: str = "",
    *,
    close: Sequence[str] = (),
) -> MissingImportError:
    return MissingImportError(
        importer,
        wanted.function,
        wanted.export,
        available=[*available[:_SHOWN], "…"] if len(available) > _SHOWN else available,
        reason=reason,
        nearest=close,
        advice=advice,
    )

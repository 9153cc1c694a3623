"""What a request means: a name resolved into a target, once, and a request sealed with it.

The words themselves (mode, entry point, arguments) are :mod:`.invocation`'s; nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from .abc import LocalBlobs
from .errors import ArrayRequiredError
from .functions import BLOB_ID, FunctionTable, Inspect
from .invocation import (
    check_arguments,
    check_env,
    check_inputs,
    check_limits,
    check_mounts,
    check_text_size,
    choose_start,
    has_array,
    parse_numbers,
)
from .model import CallRequest, Declaration, FunctionRecord, Invocation, Limits, Mode, Number, Signature
from .model.bound_imports import not_bound
from .model.exports import caller_signature, entry_name, is_array_export

_TARGETS_KEPT: Final = 1024
_CALLERS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Target:
    """What a request resolves to before its own arguments: kept, so that resolving is one look-up for most calls.

    Parameters
    ----------
    signature
        The numbers that a caller passes in direct mode.
    takes_array
        Whether its input must be an array.
    """

    record: FunctionRecord | None
    template: Invocation
    signature: Signature
    load: Callable[[], bytes]
    takes_array: bool = False
    by_caller: dict[str, Invocation] = field(default_factory=dict)

    def template_for(self, caller: str) -> Invocation:
        """Give the template with its caller: most calls say nothing else of their own."""
        found = self.by_caller.get(caller)
        if found is None:
            if len(self.by_caller) >= _CALLERS_KEPT:
                self.by_caller.clear()
            found = self.by_caller[caller] = replace(self.template, caller=caller)
        return found


class Resolver:
    """Finds what requests name. Thread-safe.

    Parameters
    ----------
    inspect
        Reads the interface of bytes without a name.
    limits
        The server's limits.
    """

    def __init__(self, functions: FunctionTable, blobs: LocalBlobs, inspect: Inspect, limits: Limits) -> None:
        self._functions = functions
        self._blobs = blobs
        self._inspect = inspect
        self._limits = limits
        self._targets: dict[tuple[str, Mode | None, str | None, bool], Target] = {}

    def target(self, request: CallRequest) -> Target:
        """Look up what a request names."""
        name = request.function
        is_array = has_array(request.input_headers)
        key = (name, request.mode, request.entry, is_array)
        target = self._targets.get(key)
        record = self._functions.find(name)
        # A blob never changes, so that a target without a record is always right; one with a record is right as long
        # as the name points to that record.
        if target is None or target.record is not record:
            target = self._find_target(name, record, (request.mode, request.entry), is_array)
            if len(self._targets) >= _TARGETS_KEPT:
                self._targets.clear()
            self._targets[key] = target
        return target

    def _find_target(
        self, name: str, record: FunctionRecord | None, requested: tuple[Mode | None, str | None], is_array: bool
    ) -> Target:
        if record is not None:
            label, blob_id, exports, declaration = name, record.blob_id, record.exports, record.declaration
        elif BLOB_ID.fullmatch(name):
            # Bytes without a name: they run with no grants and under the server's limits.
            label, blob_id, declaration = name[:12], name, Declaration()
            interface = self._inspect(label, self._blobs.read(blob_id))
            if interface.bound_imports:
                raise not_bound(label, interface.bound_imports[0], self._functions.guest_modules)
            exports = interface.exports
        else:
            raise self._functions.not_found(name)
        declared = declaration.mode, declaration.entry
        mode, entry = choose_start(label, requested=requested, declared=declared, exports=exports, has_array=is_array)
        template = Invocation(
            function=label,
            blob_id=blob_id,
            mode=mode,
            entry=entry,
            grants=declaration.grants,
            limits=self._limits.narrowed(declaration.limits),
            reusable=declaration.reusable,
            deterministic=declaration.deterministic,
        )
        numbers = caller_signature(entry, exports[entry])
        return Target(record, template, numbers, lambda: self._blobs.read(blob_id), is_array_export(entry))


def seal(target: Target, request: CallRequest, *, numbers_follow: bool = False) -> Invocation:
    """Check what the request says itself, and seal it with its target."""
    template = target.template
    arguments, env, limits = request.arguments, request.env, request.limits
    if request.more_inputs:
        check_inputs(request.more_inputs, first=1)
    if template.mode is Mode.POSIX:
        if not (arguments or env or limits or request.program or request.mounts):
            return target.template_for(request.caller)
        numbers: tuple[Number, ...] = ()
        check_text_size(check_env(env) + check_arguments((request.program, *arguments)))
    else:
        check_text_size(check_env(env))
        # What the headers say was checked when the target was looked up.
        if target.takes_array and not numbers_follow and "moc-dtype" not in request.input_headers:
            raise ArrayRequiredError(template.function, entry_name(template.entry))
        if arguments or target.takes_array or not numbers_follow:
            numbers = parse_numbers(template.function, entry_name(template.entry), target.signature, arguments)
        else:
            numbers = ()
        arguments = ()
    check_mounts(template.function, template.mode, request.mounts, deterministic=template.deterministic)
    return Invocation(
        function=template.function,
        blob_id=template.blob_id,
        mode=template.mode,
        entry=template.entry,
        numbers=numbers,
        arguments=tuple(arguments),
        env=dict(env),
        grants=template.grants,
        limits=template.limits.narrowed(check_limits(limits)) if limits else template.limits,
        reusable=template.reusable,
        deterministic=template.deterministic,
        caller=request.caller,
        mounts=request.mounts,
        program=request.program,
    )

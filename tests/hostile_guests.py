"""What tests of hostile guests share: a program around a body in WAT, with every host function imported."""

from __future__ import annotations

from collections.abc import Callable

from moc_server_ext.engines.wasi import PREVIEW1
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.registry import GuestModule
from moc_server_ext.model import CallResult, Limits

MIB = 1 << 20
LIMITS = Limits(
    memory_bytes=64 * MIB, timeout_seconds=10, output_bytes=16 * MIB, stderr_bytes=MIB, scratch_bytes=8 * MIB
)
OWN_NAME = 60_000
SELF = f"(call $call_function (i32.const {OWN_NAME}) (i32.const 7) {'(i32.const 0) ' * 12})"

Attack = Callable[..., CallResult]


def imports(module: GuestModule) -> str:
    """Import everything, each function under its own name."""
    return "".join(
        f'(import "{module.name}" "{name}" (func ${name} (param {" ".join(function.signature.params)})'
        f" (result {' '.join(function.signature.results)})))"
        for name, function in module.functions.items()
    )


def program(body: str, *, pages: int = 1, more: str = "") -> str:
    """Make a module around the body of ``_start``."""
    return f"""(module {imports(PREVIEW1)} {imports(CORE)} (memory (export "memory") {pages})
      (data (i32.const {OWN_NAME}) "hostiletmp/aaaa") {more}
      (func (export "_start") (local $i i32) (local $n i32) {body}))"""


def again_and_again(body: str, times: int) -> str:
    """Do `body` so many times."""
    return (
        f"(loop $again {body} (local.set $i (i32.add (local.get $i) (i32.const 1)))"
        f" (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))"
    )


def exit_with(number: str) -> str:
    """End with a number of the host as exit code, or its negative."""
    negated = "(i32.sub (i32.const 0) (local.get $n))"
    is_positive = "(i32.ge_s (local.get $n) (i32.const 0))"
    return f"(local.set $n {number}) (call $proc_exit (select (local.get $n) {negated} {is_positive}))"

"""Guests that want to hurt the server which runs them, as WebAssembly text; :mod:`.hostile` lets them loose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .doors.guests import module

LIMIT_SECONDS = 1.0
"""How long each may run."""

_NAME = 64000
_FILE = 64100
_PAGES_OF_A_LOT = 3200
_LOT_BYTES = _PAGES_OF_A_LOT << 16
_MOST_SCRATCH_BYTES = 60_000_000

_TIME = b"timeout_seconds"

_WASI: dict[str, Sequence[str]] = {
    "sched_yield": (),
    "fd_write": ("i32",) * 4,
    "fd_read": ("i32",) * 4,
    "fd_pwrite": ("i32", "i32", "i32", "i64", "i32"),
    "fd_pread": ("i32", "i32", "i32", "i64", "i32"),
    "fd_allocate": ("i32", "i64", "i64"),
    "fd_filestat_set_size": ("i32", "i64"),
    "fd_readdir": ("i32", "i32", "i32", "i64", "i32"),
    "path_open": ("i32", "i32", "i32", "i32", "i32", "i64", "i64", "i32", "i32"),
    "path_create_directory": ("i32",) * 3,
    "random_get": ("i32",) * 2,
    "poll_oneoff": ("i32",) * 4,
}
_CORE: dict[str, Sequence[str]] = {
    "create_exchange_buffer": (),
    "free_buffer": ("i32",),
    "write_exchange_buffer": ("i32",) * 3,
    "base64_encode": ("i32",) * 2,
    "print_debug": ("i32",) * 2,
    "call_function": ("i32",) * 14,
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of hostile guest.

    Parameters
    ----------
    text
        The module, where ``NAME`` stands for what the function is called, ``NAME_LENGTH`` for how long that is.
    ends
        With which error it must end: bytes that the answer holds; empty where it ends well.
    """

    what: str
    text: str
    ends: bytes = _TIME

    def module(self, name: str) -> bytes:
        """Assemble; no two names give the same module, so that the server knows nothing of it from before."""
        return module(self.text.replace("NAME_LENGTH", str(len(name))).replace("NAME", name))


def _program(body: str, *, before: str = "", pages: int = 1) -> str:
    imports = "".join(
        f'(import "{namespace}" "{name}" (func ${name} (param {" ".join(types)}) (result i32)))'
        for namespace, functions in (("wasi_snapshot_preview1", _WASI), ("core", _CORE))
        for name, types in functions.items()
        if f"${name}" in before + body
    )
    return f"""(module {imports} (memory (export "memory") {pages})
      (data (i32.const {_NAME}) "NAME") (data (i32.const {_FILE}) "file")
      (func (export "_start") (local $i i32) (local $n i32) {before} (loop $for_ever {body} (br $for_ever))))"""


def _ignoring(call: str) -> str:
    return f"(drop {call})"


def _repeated(times: int, body: str) -> str:
    return f"""(local.set $i (i32.const 0))
      (loop $again {body}
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))"""


def _vector(length: int) -> str:
    """Put a vector of so many bytes from the beginning of memory at 16."""
    return f"(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const {length}))"


_ALL_RIGHTS = "(i64.const 0x0FFFFFFF)"
_OPENED = f"""(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const {_FILE}) (i32.const 4) (i32.const 1)
  (i64.const 0x6001C6) (i64.const 0) (i32.const 0) (i32.const 32)))"""
_FD = "(i32.load (i32.const 32))"
# Eight letters from A to P, which no other round has.
_NEW_NAME = "".join(
    f"(i32.store8 (i32.const {_FILE + at}) (i32.add (i32.const 65)"
    f" (i32.and (i32.const 15) (i32.shr_u (local.get $n) (i32.const {4 * at})))))"
    for at in range(8)
) + "(local.set $n (i32.add (local.get $n) (i32.const 1)))"  # fmt: skip
_MAKE_DIRECTORY = f"{_NEW_NAME} (drop (call $path_create_directory (i32.const 3) (i32.const {_FILE}) (i32.const 8)))"
_OPEN_NEW = f"""{_NEW_NAME} (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const {_FILE}) (i32.const 8)
  (i32.const 1) {_ALL_RIGHTS} (i64.const 0) (i32.const 0) (i32.const 32)))"""
_CALL_SELF = f"""(drop (call $call_function (i32.const {_NAME}) (i32.const NAME_LENGTH) {"(i32.const 0)" * 12}))"""
_SUBSCRIPTIONS = _repeated(1000, "(i64.store (i32.add (i32.const 24) (i32.mul (local.get $i) (i32.const 48))) {time})")
_POLL = "(drop (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1000) (i32.const 131000)))"
_FILL = """(loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
  (memory.fill (i32.const 0) (local.get $i) (i32.shl (memory.size) (i32.const 16)))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))"""

ATTACKS: Sequence[Attack] = (
    Attack("loop", _program("")),
    Attack("loop of host calls", _program(_ignoring("(call $sched_yield)"))),
    Attack("recursion", '(module (data "NAME") (func $f (export "_start") (call $f)))', b"guest_trap"),
    Attack("memory.grow to the limit, filled", _program(_FILL)),
    Attack(
        "tiny writes",
        _program(
            _ignoring("(call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))"), before=_vector(1)
        ),
    ),
    Attack(
        "giant write to stdout",
        _program(
            _ignoring("(call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))"),
            before=_vector(_LOT_BYTES),
            pages=_PAGES_OF_A_LOT,
        ),
        b"output_bytes",
    ),
    Attack(
        "giant writes to a file",
        _program(
            f"(drop (call $fd_pwrite {_FD} (i32.const 16) (i32.const 1) (i64.const 0) (i32.const 8)))",
            before=_OPENED + _vector(_MOST_SCRATCH_BYTES),
            pages=_PAGES_OF_A_LOT,
        ),
    ),
    Attack(
        "giant reads of a file",
        _program(
            f"(drop (call $fd_pread {_FD} (i32.const 16) (i32.const 1) (i64.const 0) (i32.const 8)))",
            before=f"{_OPENED} {_vector(_MOST_SCRATCH_BYTES)}"
            f"(drop (call $fd_allocate {_FD} (i64.const 0) (i64.const {_MOST_SCRATCH_BYTES})))",
            pages=_PAGES_OF_A_LOT,
        ),
    ),
    Attack("a million opens", _program(_OPEN_NEW)),
    Attack(
        "fd_allocate of 60 MB",
        _program(
            f"""(drop (call $fd_allocate {_FD} (i64.const 0) (i64.const {_MOST_SCRATCH_BYTES})))
            (drop (call $fd_filestat_set_size {_FD} (i64.const 0)))""",
            before=_OPENED,
        ),
    ),
    Attack(
        "base64 of 40 MB",
        _program(
            _ignoring("(call $free_buffer (call $base64_encode (i32.const 0) (i32.const 40000000)))"),
            pages=_PAGES_OF_A_LOT,
        ),
    ),
    Attack(
        "random_get of all memory",
        _program(
            _ignoring(f"(call $random_get (i32.const 65536) (i32.const {_LOT_BYTES - 65536}))"), pages=_PAGES_OF_A_LOT
        ),
    ),
    Attack("1,000 sleeps", _program(_POLL, before=_SUBSCRIPTIONS.format(time="(i64.const -1)"), pages=2)),
    Attack("1,000 clocks that have rung", _program(_POLL, before=_SUBSCRIPTIONS.format(time="(i64.const 0)"), pages=2)),
    Attack("fork", _program(_CALL_SELF)),
    Attack(
        "buffers without end",
        _program(
            _ignoring("(call $write_exchange_buffer (call $create_exchange_buffer) (i32.const 0) (i32.const 60000))")
        ),
    ),
    Attack(
        "log flood",
        _program(_ignoring("(call $print_debug (i32.const 0) (i32.const 1000))")),
        b"stderr_bytes",
    ),
    Attack(
        "readdir over 20,000 names",
        _program(
            _ignoring(
                "(call $fd_readdir (i32.const 3) (i32.const 65536) (i32.const 3000000) (i64.const 0) (i32.const 8))"
            ),
            before=_repeated(20_000, _MAKE_DIRECTORY),
            pages=64,
        ),
    ),
)
"""What is called; the compilation bomb (:func:`bomb`) does not even come to that."""


def bomb(depth: int = 2000, arity: int = 1000) -> bytes:
    """Make a module of 10 KB that no compiler is done with: loops in loops that hand numbers on."""
    types = " ".join(["i32"] * arity)
    values, dropped = "(i32.const 0)" * arity, "drop " * arity
    return module(
        f"""(module (type $many (func (param {types}) (result {types})))
        (func (export "_start") {values} {"loop (type $many) " * depth} {"end " * depth} {dropped}))"""
    )

"""Host functions, declared once: name, types and behaviour of what guests may import.

A :class:`GuestModule` is one import module (``core``, ``wasi_snapshot_preview1``). The engine turns it into definitions
of a linker; the bindings generators and the documentation read the same declarations.

Three kinds of body, told apart by ``waits``:

still (``waits=False``)
    ``body(call, *numbers) -> number``. Runs to its end inside the guest's call and must never wait: no storage, no
    network, no lock that another guest may hold.
waiting (``waits=True``)
    ``body(call, *numbers) -> number | Waiting``. Copies what it needs out of guest memory and returns at once, with a
    number or with what is to be waited for; the driver waits outside of the guest.
live (``waits="live"``)
    A waiting body that gives a number, and no more than that, as long as the call's streams are in memory
    (``call.live`` is false): a module whose imports are all still or live can then run without ever being suspended.

A body refuses with :class:`~.errno.GuestErrno` (the guest gets the number and goes on) or ends the call by raising any
other exception, of which a ``MocError`` reaches the caller as it is.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ..model import Signature
from .errno import Errno

I32 = int
I64 = Annotated[int, "i64"]
F64 = Annotated[float, "f64"]

Body = Callable[..., Any]


def _number(value: Any) -> int:
    return int(value)


@dataclass(frozen=True, slots=True)
class Work:
    """Blocking work that a guest waits for.

    Parameters
    ----------
    run
        May block and takes no arguments. It runs on a thread of its own, and goes on when the call is cancelled: it
        must not touch the guest, its memory or its call's buffers.
    finish
        Gets what `run` gave, when the guest goes on; its number is the result that the guest sees. It may write into
        guest memory and raise what a body may raise, and must not block.
    """

    run: Callable[[], Any]
    finish: Callable[[Any], int] = _number


@dataclass(frozen=True, slots=True)
class Wait:
    """Something on an event loop that a guest waits for: no thread is held meanwhile.

    Parameters
    ----------
    start
        Makes the coroutine to await. It is cancelled with the call, and touches the guest as little as a
        :class:`Work` does.
    finish
        As in :class:`Work`.
    """

    start: Callable[[], Coroutine[Any, Any, Any]]
    finish: Callable[[Any], int] = _number


@dataclass(frozen=True, slots=True)
class NestedCall:
    """A call that a guest makes: the driver runs the child as a guest of its own, then gives `finish`'s number back.

    Parameters
    ----------
    prepare
        Resolves the callee, outside of the guest, into the child's ``CallContext``; may block, and raise what a body
        may.
    finish
        Takes the child's ``CallResult``, or the ``MocError`` with which it failed.
    """

    prepare: Callable[[], Any]
    finish: Callable[[Any], int]


Waiting = Work | Wait | NestedCall
"""What a driver can be asked to wait for."""

Waits = Literal[False, True, "live"]


_REFUSAL = re.compile(r"-(E[A-Z0-9]+)\b")


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function that guests may import.

    Parameters
    ----------
    since
        The first version of moc that has it.
    instead
        What new guests import in its place: a function that is there for old ones only; else empty.
    """

    name: str
    signature: Signature
    parameters: tuple[str, ...]
    body: Body
    waits: Waits
    since: str = ""
    instead: str = ""

    @property
    def summary(self) -> str:
        """First line of the documentation."""
        return (inspect.getdoc(self.body) or "").partition("\n")[0]

    @property
    def errors(self) -> tuple[Errno, ...]:
        """The numbers with which it refuses, as its documentation names them (``-ENOENT``), in their order."""
        return tuple(sorted({Errno[name] for name in _REFUSAL.findall(inspect.getdoc(self.body) or "")}))


class GuestModule:
    """An import module offered to guests.

    Parameters
    ----------
    name, aliases
        The import module names under which guests find it.
    negative_errors
        Whether a :class:`GuestErrno` leaves as ``-errno`` (guest API) or ``errno`` (WASI).
    since
        The first version of moc that has it; a function that came later says so itself.
    """

    def __init__(
        self, name: str, *, aliases: tuple[str, ...] = (), negative_errors: bool = True, since: str = ""
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.negative_errors = negative_errors
        self.since = since
        self.functions: dict[str, HostFunction] = {}

    def function(
        self, name: str, *, waits: Waits = False, since: str = "", instead: str = ""
    ) -> Callable[[Body], Body]:
        """Declare a host function; its WebAssembly types are read from the annotations.

        What else is said about it is in :class:`HostFunction`.

        ``int`` is ``i32`` (given signed), `I64` is ``i64``, `F64` is ``f64``; a return annotation of None or NoReturn
        means no result, and a waiting function always gives one ``i32``.
        """

        def declare(body: Body) -> Body:
            hints = typing.get_type_hints(body, include_extras=True)
            result = hints.pop("return", None)
            parameters = tuple(inspect.signature(body).parameters)[1:]
            if waits:
                # Whatever a body gives to wait for, the guest sees one number in the end.
                results: tuple[str, ...] = ("i32",)
            else:
                results = () if result in (None, type(None), typing.NoReturn) else (_wasm_type(result),)
            signature = Signature(tuple(_wasm_type(hints[each]) for each in parameters), results)
            self.functions[name] = HostFunction(name, signature, parameters, body, waits, since or self.since, instead)
            return body

        return declare


def _wasm_type(hint: Any) -> str:
    if hint is int:
        return "i32"
    for mark in getattr(hint, "__metadata__", ()):
        if mark in ("i64", "f32", "f64"):
            return str(mark)
    raise TypeError(f"{hint!r} is no type of a host function")

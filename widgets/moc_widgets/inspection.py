"""One open inspector, without its face: it answers what a front end asks, on threads of its own.

Owns the conversation. What is read is :mod:`.subject`'s affair, how messages look :mod:`.messages`', and what carries
them :mod:`.inspector`'s or :mod:`.browse`'s.

A message is JSON with a ``type``, and bytes beside it:

========== ======================================== =================================================================
from there fields                                   answered with
========== ======================================== =================================================================
open                                                about, with the first bytes; or trouble
pages      wanted: offsets                          page (start) with its bytes, for each; a newer list replaces it
plane      job, member, dtype, rows, columns, at …  plane (job, dtype, rows, columns) with its elements
line       job, member, dtype, axis, at, start …    line (job, …) with its elements, or the lows and highs of its pieces
statistics job, member, dtype …                     statistics (job, done, total, figures), again and again
search     job, pattern, start, forward             searching (job, done, total) and at last found (job, match)
stop       what: search, statistics                 nothing
image                                               image (content_type) with its bytes
========== ======================================== =================================================================

Any of them may be answered with ``trouble``: what is wrong, in words, and its kind: ``gone``, ``replaced``,
``unreachable``, ``refused`` (the message itself) or ``failed``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from moc_server_ext.errors import BufferNotFoundError, InvalidInputError, MocError, UnavailableError

from .elements import Elements, Plane, little_endian, read_line, read_plane
from .lanes import IsObsolete, Lane
from .messages import (
    PAGE_BYTES,
    ElementsWanted,
    LineWanted,
    PatternWanted,
    PlaneWanted,
    parse_elements,
    parse_line,
    parse_pages,
    parse_plane,
    parse_search,
)
from .search import find
from .subject import ReplacedError, Subject
from .summary import OUTLINE_POINTS, Outline, Statistics

if TYPE_CHECKING:
    from moc_server_ext.client.handles import BufferHandle

_TELL_SECONDS: Final = 0.1


class Send(Protocol):
    """Carries a message to the front end; may be called on any thread."""

    def __call__(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send `content` and the bytes beside it."""
        ...


class Inspection:
    """What one inspector shows. Thread-safe; :meth:`take` returns at once.

    Parameters
    ----------
    handle
        The buffer.
    send
        Carries the answers; called on threads of the inspection, and on the caller's for what was refused.
    """

    def __init__(self, handle: BufferHandle, send: Send) -> None:
        self.subject = Subject(handle)
        self._send = send
        self._lanes = {name: Lane(f"moc_inspect_{name}") for name in ("pages", "view", "statistics", "search", "open")}
        self._reading = Lock()
        self._read_now: int | None = None
        self._answers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "open": lambda _: self._do("open", self._open),
            "pages": self._want_pages,
            "plane": lambda message: self._view(parse_plane(message), self._plane),
            "line": lambda message: self._view(parse_line(message), self._line),
            "statistics": self._want_statistics,
            "search": self._want_search,
            "image": lambda _: self._do("view", self._image),
            "stop": self._stop,
        }

    def take(self, message: object) -> bool:
        """Begin what the front end asks for; False when `message` is none that an inspector knows."""
        kind = message.get("type") if isinstance(message, dict) else None
        answer = self._answers.get(kind) if isinstance(kind, str) else None
        if answer is None or not isinstance(message, dict):
            return False
        try:
            answer(message)
        except InvalidInputError as error:
            self._trouble(error, "refused")
        return True

    def close(self) -> None:
        """End what is under way; idempotent."""
        for lane in self._lanes.values():
            lane.stop()

    # -- each on its lane ---------------------------------------------------------------------------------------------

    def _do(self, lane: str, work: Callable[[IsObsolete], None], job: int | None = None) -> None:
        def guarded(is_obsolete: IsObsolete) -> None:
            try:
                work(is_obsolete)
            except ReplacedError as error:
                self._trouble(error, "replaced", job)
            except BufferNotFoundError as error:
                self._trouble(error, "gone", job)
            except UnavailableError as error:
                self._trouble(error, "unreachable", job)
            except MocError as error:
                self._trouble(error, "failed", job)
            except (MemoryError, IndexError, ValueError, TypeError) as error:
                # An array that changes its shape between two looks at it reads as NumPy's own errors.
                self._say(f"It cannot be read: {error}", "failed", job)

        self._lanes[lane].put(guarded)

    def _trouble(self, error: MocError, kind: str, job: int | None = None) -> None:
        self._say(error.message, kind, job)

    def _say(self, message: str, kind: str, job: int | None) -> None:
        self._send({"type": "trouble", "kind": kind, "message": message[:2000], "job": job})

    def _open(self, _: IsObsolete) -> None:
        version = self.subject.open()
        self._send({"type": "about", "about": version.about}, [version.first])

    def _want_pages(self, message: Mapping[str, Any]) -> None:
        wanted = list(dict.fromkeys(parse_pages(message)))

        def read(is_obsolete: IsObsolete) -> None:
            for start in wanted:
                if is_obsolete():
                    return
                with self._reading:
                    self._read_now = start
                try:
                    content = self.subject.read(start, start + PAGE_BYTES)
                    self._send({"type": "page", "start": str(start)}, [content])
                finally:
                    with self._reading:
                        self._read_now = None

        with self._reading:
            # It is on its way: the list before still ends with it.
            wanted = [each for each in wanted if each != self._read_now]
        self._do("pages", read)

    def _view(self, wanted: Any, show: Callable[[Any, IsObsolete], None]) -> None:
        self._do("view", lambda is_obsolete: show(wanted, is_obsolete), wanted.of.job)

    def _image(self, _: IsObsolete) -> None:
        content, kind = self.subject.image()
        self._send({"type": "image", "content_type": kind}, [content])

    def _plane(self, wanted: PlaneWanted, _: IsObsolete) -> None:
        elements = self._elements(wanted.of, wanted.at)
        plane = Plane(wanted.rows, wanted.columns, wanted.at)
        rows, columns, values = read_plane(elements, plane, wanted.row, wanted.column)
        self.subject.check()
        self._send(
            {
                "type": "plane",
                "job": wanted.of.job,
                "dtype": elements.dtype.name,
                "rows": rows.to_json(),
                "columns": columns.to_json(),
                "height": values.shape[0],
                "width": values.shape[1],
            },
            [little_endian(values)],
        )

    def _line(self, wanted: LineWanted, is_obsolete: IsObsolete) -> None:
        elements = self._elements(wanted.of, wanted.at)
        length = elements.shape[wanted.axis]
        start, stop = min(wanted.start, length), min(wanted.stop, length)
        facts = {"type": "line", "job": wanted.of.job, "dtype": elements.dtype.name, "start": str(start)}
        if stop - start <= OUTLINE_POINTS:
            values = read_line(elements, wanted.axis, wanted.at, start, stop)
            self.subject.check()
            self._send({**facts, "stop": str(stop), "is_outline": False}, [little_endian(values)])
            return
        outline, told = Outline(stop - start), time.monotonic()
        step = max(1, (8 << 20) // elements.dtype.itemsize)
        for first in range(start, stop, step):
            if is_obsolete():
                return
            last = min(first + step, stop)
            outline.add(first - start, read_line(elements, wanted.axis, wanted.at, first, last))
            if last == stop or time.monotonic() - told > 4 * _TELL_SECONDS:
                told = time.monotonic()
                parts = [little_endian(outline.low), little_endian(outline.high)]
                shown = {**facts, "stop": str(stop), "is_outline": True, "done": str(last - start)}
                if last == stop:
                    self.subject.check()
                self._send(shown, parts)

    def _want_statistics(self, message: Mapping[str, Any]) -> None:
        wanted = parse_elements(message)

        def work(is_obsolete: IsObsolete) -> None:
            elements = self._elements(wanted)
            figures, told, total = Statistics(), time.monotonic(), elements.count
            for block in elements.blocks():
                if is_obsolete():
                    return
                figures.add(elements.read(block))
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    self._tell_statistics(wanted.job, figures, total)
            self.subject.check()
            self._tell_statistics(wanted.job, figures, total, is_done=True)

        self._do("statistics", work, wanted.job)

    def _tell_statistics(self, job: int, figures: Statistics, total: int, *, is_done: bool = False) -> None:
        facts = {"done": str(figures.count), "total": str(total), "figures": figures.to_json(), "is_done": is_done}
        self._send({"type": "statistics", "job": job, **facts})

    def _want_search(self, message: Mapping[str, Any]) -> None:
        wanted = parse_search(message)
        self._do("search", lambda is_obsolete: self._search(wanted, is_obsolete), wanted.job)

    def _search(self, wanted: PatternWanted, is_obsolete: IsObsolete) -> None:
        size, told = self.subject.version.record.size, time.monotonic()

        def on_part(done: int) -> bool:
            nonlocal told
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                self._send({"type": "searching", "job": wanted.job, "done": str(done), "total": str(size)})
            return not is_obsolete()

        read = self.subject.read_fast
        match = find(read, size, wanted.pattern, wanted.start, forward=wanted.forward, on_part=on_part)
        if is_obsolete():
            return
        self.subject.check()
        found = match and {"start": str(match.start), "length": match.length, "wrapped": match.wrapped}
        self._send({"type": "found", "job": wanted.job, "match": found})

    def _stop(self, message: Mapping[str, Any]) -> None:
        what = message.get("what")
        if what not in ("search", "statistics"):
            raise InvalidInputError("What can be stopped is a search or the statistics.", field="what")
        self._lanes[what].stop()

    def _elements(self, wanted: ElementsWanted, at: Sequence[int] | None = None) -> Elements:
        """Give the elements, and see that `at`, if there is one, lies within them."""
        elements = self.subject.elements(member=wanted.member, dtype=wanted.dtype, big_endian=wanted.big_endian)
        shape = elements.shape
        if at is not None and len(at) != len(shape):
            raise InvalidInputError(f"The array has {len(shape)} axes, not {len(at)}.", field="at")
        if at is not None and any(place >= max(length, 1) for place, length in zip(at, shape, strict=True)):
            raise InvalidInputError("The place is outside of the array.", field="at")
        return elements

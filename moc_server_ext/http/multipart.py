"""A call's inputs as the parts of a ``multipart/form-data`` body (RFC 7578), taken apart while it comes.

Every part is one input, in order; names and file names mean nothing. The grammar is python-multipart's; how many parts
and headers there may be, and which headers of a part go to its buffer, is decided here. How large a body may be is the
business of :mod:`.streaming`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..errors import InvalidInputError
from ..invocation import check_inputs
from ..model import DEFAULT_CONTENT_TYPE, INPUTS_MAX, CallInput, parse_content_type, too_many_inputs

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM_CONTENT_TYPE: Final = "multipart/form-data"

_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADERS_MAX: Final = 16
_HEADER_BYTES_MAX: Final = 8 << 10
# With room for a body that is told how many inputs there may be.
_BOUNDARIES_MAX: Final = 2 * INPUTS_MAX
_GOING_ALONG: Final = frozenset({"content-type", "moc-dtype", "moc-shape"})
# What leaves the bytes as they are, of the two headers that say how a part is encoded.
_PLAIN: Final[Mapping[str, frozenset[str]]] = {
    "content-encoding": frozenset({"identity"}),
    "content-transfer-encoding": frozenset({"binary", "8bit", "7bit"}),
}
# What is wrong with a body is told to its client; the server's log is not theirs to fill.
_UNHEARD: Final = logging.Logger("multipart", logging.CRITICAL + 1)


def form_boundary(headers: Mapping[str, str]) -> bytes | None:
    """Give what separates the parts of a request's body; None when the body is not multipart.

    Parameters
    ----------
    headers
        The request's, by lower-case name.

    Raises
    ------
    InvalidInputError
        It is multipart of another kind, names no boundary that can be one, or the request itself says what array the
        input is.
    """
    told = headers.get("content-type", "")
    if told[:10].lower() != "multipart/":
        return None
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(told)
    if kind != FORM_CONTENT_TYPE.encode():
        raise InvalidInputError(
            f"A body of the type {told.partition(';')[0][:64]!r} is not taken: send several inputs as the parts of "
            f"{FORM_CONTENT_TYPE}, and one raw."
        )
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidInputError(
            f"The Content-Type {FORM_CONTENT_TYPE} names no boundary of 1 to 70 characters that RFC 2046 allows."
        )
    if "moc-dtype" in headers or "moc-shape" in headers:
        raise InvalidInputError("In a multipart body Moc-Dtype and Moc-Shape are headers of the part that is an array.")
    return boundary


class FormInputs:
    """The parts of one body, on their way into memory. After an error it is of no further use.

    Parameters
    ----------
    boundary
        As :func:`form_boundary` gives it.
    """

    def __init__(self, boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser

        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }
        self._parser = MultipartParser(
            boundary, callbacks, max_header_count=_HEADERS_MAX, max_header_size=_HEADER_BYTES_MAX
        )
        self._parser.logger = _UNHEARD
        self._boundary = b"\r\n--" + boundary
        self._boundaries = 0
        self._parts: list[tuple[bytearray, dict[str, str]]] = []
        self._name = bytearray()
        self._value = bytearray()
        self._is_complete = False

    def feed(self, chunk: bytes) -> None:
        """Take what came.

        Raises
        ------
        InvalidInputError
            It is no multipart body with this boundary, has too many parts or headers, or says of a part what cannot be.
        """
        from python_multipart.exceptions import MultipartParseError
        from python_multipart.multipart import MultipartState

        # Behind each of them the parser goes from byte to byte, on the event loop.
        self._boundaries += chunk.count(self._boundary)
        if self._boundaries > _BOUNDARIES_MAX:
            raise InvalidInputError(
                f"The multipart body has its boundary more than {_BOUNDARIES_MAX} times: a call has at most "
                f"{INPUTS_MAX} inputs, and none of them may hold it."
            )
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise InvalidInputError(f"The multipart body cannot be read: {error}.") from None
        if self._parser.state is MultipartState.BOUNDARY_PADDING:
            raise InvalidInputError("The multipart body cannot be read: spaces follow a boundary.")

    def finish(self) -> tuple[CallInput, ...]:
        """Give the inputs of a body that has ended; at least one.

        Raises
        ------
        InvalidInputError
            The body ended too early, has no part, or a part has not the bytes of the array that it is said to be.
        """
        if not self._is_complete:
            raise InvalidInputError(
                "The multipart body ends before its last boundary, or does not begin with the boundary that the "
                "Content-Type names."
            )
        if not self._parts:
            raise InvalidInputError("The multipart body has no part: each is one input of the call.")
        inputs = tuple(CallInput(content, headers) for content, headers in self._parts)
        check_inputs(inputs)
        return inputs

    def discard(self) -> None:
        """Leave nothing of what came; idempotent."""
        self._parts.clear()
        self._is_complete = False

    # -- what the parser finds ----------------------------------------------------------------------------------------

    def _begin_part(self) -> None:
        if len(self._parts) == INPUTS_MAX:
            raise too_many_inputs(INPUTS_MAX + 1)
        self._parts.append((bytearray(), {}))

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name, value = self._name.decode("latin-1").lower(), self._value.decode("latin-1").strip()
        self._name.clear()
        self._value.clear()
        headers = self._parts[-1][1]
        if name in _PLAIN:
            if value.lower() not in _PLAIN[name]:
                raise InvalidInputError(
                    f"{self._place()} comes with the {name.title()} {value[:32]!r}, which this API does not take: send "
                    "it as it is."
                )
        elif name in headers:
            raise InvalidInputError(f"{self._place()} has the header {name.title()} twice.")
        elif name == "content-type":
            # The type that clients send when they know none tells a guest nothing.
            if value != DEFAULT_CONTENT_TYPE:
                headers[name] = parse_content_type(value)
        elif name in _GOING_ALONG:
            headers[name] = value

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1][0].extend(memoryview(data)[start:end])

    def _end(self) -> None:
        self._is_complete = True

    def _place(self) -> str:
        return f"Part {len(self._parts)} of the multipart body"

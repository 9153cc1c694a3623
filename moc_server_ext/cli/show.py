"""Outcomes and errors in a terminal: bytes to stdout untouched, all that is said about them to stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, BinaryIO

from ..abc import Bytes
from ..errors import InvalidInputError, MocError
from ..verbs.invoke import error_text
from ..verbs.outcome import BytesOutcome, CallOutcome, Outcome, format_result, visible


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Write an outcome to stdout, and what a guest or compiler said beside it to stderr.

    Raises
    ------
    BrokenPipeError
        Whoever read stdout went away.
    InvalidInputError
        Stdout takes nothing, such as a file on a full disk.
    """
    if as_json:
        body = outcome.to_json()
        write_stdout(b"" if body is None else _json(body))
        return
    if outcome.warnings:
        write_stderr(_warnings(outcome))
    if isinstance(outcome, BytesOutcome) and outcome.kept_in is None:
        for part in outcome.parts():
            write_stdout(part)
        return
    write_stdout(_content(outcome))


def show_error(error: MocError, *, as_json: bool) -> None:
    """Write an error to stderr."""
    if as_json:
        write_stderr(_json({"error": error.to_json()}))
    else:
        show_line(f"moc: {error_text(error)}")


def show_line(text: str) -> None:
    """Write a line to stderr."""
    write_stderr(text.encode(errors="backslashreplace") + b"\n")


def _warnings(outcome: Outcome) -> bytes:
    if isinstance(outcome, CallOutcome):
        return outcome.result.stderr
    lines = (visible(line, keep="\t") for line in outcome.warnings.splitlines())
    return "".join(f"{line}\n" for line in lines).encode()


def _content(outcome: Outcome) -> bytes:
    if isinstance(outcome, CallOutcome):
        output = b"" if outcome.kept_in is not None else outcome.result.output
        if outcome.result.result is None:
            return output
        line = format_result(outcome.result.result).encode() + b"\n"
        return output + (b"\n" if output and not output.endswith(b"\n") else b"") + line
    text = outcome.to_text()
    return text.encode(errors="backslashreplace") + b"\n" if text else b""


def _json(body: Any) -> bytes:
    return json.dumps(body, indent=2, allow_nan=False).encode() + b"\n"


def write_stdout(content: Bytes) -> None:
    """Write all of `content` to stdout.

    Raises
    ------
    BrokenPipeError
        Whoever read it went away.
    InvalidInputError
        It is closed, or takes nothing, such as a file on a full disk.
    """
    if sys.stdout is None:
        if content:
            raise InvalidInputError("Standard output is closed.")
        return
    try:
        write_through(sys.stdout.buffer, content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InvalidInputError(f"Standard output cannot be written: {error.strerror or error}.") from None


def write_stderr(content: Bytes) -> None:
    """Write all of `content` to stderr; one that takes nothing is passed over."""
    # There is nobody to tell that nobody can be told.
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            write_through(sys.stderr.buffer, content)


def write_through(stream: BinaryIO, content: Bytes) -> None:
    """Write all of `content` and flush.

    Raises
    ------
    BrokenPipeError
        Whoever read the stream went away.
    """
    rest = memoryview(content)
    while rest:
        # An unbuffered stream (PYTHONUNBUFFERED) may take only a part.
        rest = rest[stream.write(rest) :]
    stream.flush()

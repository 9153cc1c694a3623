"""Tab in ``%moc`` and ``%%moc`` lines.

Here a line is taken apart at the cursor and what is chosen is written so that the line reads it back. What may stand
there is known by the verbs themselves (:mod:`moc_server_ext.verbs.completion`). A Tab opens no storage, changes no
connection, raises nothing and is over in about half a second; ``{name}`` and ``$name`` stay IPython's.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, completion_matcher

if TYPE_CHECKING:
    from moc_server_ext.abc import Platform

    from .session import Session

GLANCE_SECONDS: Final = 0.25
_MOST_FILES: Final = 500
_CELL_MAGIC: Final = re.compile(r"%%moc[ \t]")
# Also behind an assignment, `r = %moc …`.
_LINE_MAGIC: Final = re.compile(r"\s*(?:[^%='\"#]+=\s*)?%moc[ \t]")
_SPECIAL: Final = re.compile(r"[\s'\"\\]")
_EXPANDED: Final = re.compile(r"[{$]")


@dataclass(frozen=True)
class MagicLine:
    """A magic's line at the cursor.

    Parameters
    ----------
    words
        The whole words before the cursor, without the magic's name.
    fragment
        What stands between the last blank and the cursor, as it was typed.
    incomplete
        The same as it will be read: without quotes.
    words_after, text_after
        What follows the cursor: the words that are not part of this one, and the text as it is.
    """

    words: tuple[str, ...]
    fragment: str
    incomplete: str
    words_after: tuple[str, ...]
    text_after: str


def magic_line(text: str, line: int, column: int) -> MagicLine | None:
    """Find the magic whose line the cursor is in, or None where there is none.

    Parameters
    ----------
    text
        The whole cell.
    line, column
        Where the cursor is, from 0.
    """
    lines = text.split("\n")
    first = next((number for number, each in enumerate(lines) if each.strip()), 0)
    if lines[first].startswith("%%moc"):
        if line != first:
            return None  # The cell's text belongs to whoever reads it.
        found = _CELL_MAGIC.match(lines[line])
        before = ""
    else:
        start = line
        while start > 0 and lines[start - 1].endswith("\\"):
            start -= 1
        found = _LINE_MAGIC.match(lines[start])
        before = "".join(f"{each[:-1]} " for each in lines[start:line])
    if found is None or len(before) + column < found.end():
        return None
    typed = (before + lines[line][:column])[found.end() :]
    words, fragment, incomplete = _split(typed)
    text_after = lines[line][column:]
    # What touches the cursor is the end of the same word.
    rest = text_after.lstrip("'\"")
    try:
        after = shlex.split(rest)
    except ValueError:
        after = rest.split()
    return MagicLine(words, fragment, incomplete, tuple(after[0 if rest[:1].isspace() else 1 :]), text_after)


def _split(typed: str) -> tuple[tuple[str, ...], str, str]:
    """Split as the magic does, up to the last word, which may be open: ``kv get "vis`` is at ``vis``."""
    stream = io.StringIO(typed)
    lexer: Any = shlex.shlex(stream, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    while True:
        start = stream.tell()
        try:
            word = lexer.get_token()
        except ValueError:  # A quote is open, which is as it should be while somebody types.
            return tuple(words), typed[start:].lstrip(), lexer.token
        if word is None:
            return tuple(words), "", ""
        if lexer.state is None:  # The text is over, and with it this word.
            return tuple(words), typed[start:].lstrip(), word
        words.append(word)


def written(word: str, fragment: str, text_after: str = "", *, is_open: bool = False) -> str:
    """Write `word` so that the line reads it back, in the quotes that `fragment` began with.

    Parameters
    ----------
    text_after
        What follows the cursor: a closing quote that the editor has already put there is not written again.
    is_open
        The word goes on (a directory), so that its quotes stay open.
    """
    quote = fragment[:1]
    if quote == "'" and "'" not in word:
        inside = word
    elif quote == '"':
        inside = re.sub(r'(["\\])', r"\\\1", word)
    elif not _SPECIAL.search(word) and word:
        return word
    elif is_open and "'" not in word:
        return f"'{word}"
    else:
        return shlex.quote(word)
    return quote + inside + ("" if is_open or text_after.startswith(quote) else quote)


class CellOnlooker:
    """What completion may ask of a notebook: the :class:`moc_server_ext.verbs.completion.Onlooker` of one Tab."""

    def __init__(self, shell: Any, session: Session, words_after: Sequence[str]) -> None:
        self._shell = shell
        self._session = session
        self.words_after = words_after

    def glance(self) -> AbstractContextManager[Platform | None]:
        """Give the platform for a moment; None without a connection or a server."""
        return self._session.glance(GLANCE_SECONDS)

    def variables(self) -> Mapping[str, object]:
        """Give the notebook's variables without those that IPython put there."""
        hidden = self._shell.user_ns_hidden
        unset = object()
        return {name: value for name, value in self._shell.user_ns.items() if hidden.get(name, unset) is not value}

    def can_write(self, word: str) -> bool:
        """Tell whether IPython leaves `word` alone."""
        return not _EXPANDED.search(word)


class Nothing(Sequence[SimpleCompletion]):
    """No completions, which count as some.

    Only who has completions may keep the other matchers from being asked, and on a magic's line those of Python are
    wrong even where the verb has none: a guest's arguments are no Python, and Jedi takes seconds to say so.
    """

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[SimpleCompletion]:
        return iter(())

    def __getitem__(self, index: Any) -> Any:
        return [][index]


def completions(line: MagicLine, onlooker: CellOnlooker) -> list[SimpleCompletion]:
    """Give what may stand in place of the word at the cursor."""
    from click.shell_completion import ShellComplete

    from moc_server_ext.verbs import build_group

    completer = ShellComplete(build_group("magic"), {"obj": onlooker}, "moc", "")
    items = completer.get_completions(list(line.words), line.incomplete)
    # click completes the value of `--option=value` alone.
    option, equals, _ = line.incomplete.partition("=")
    prefix = option + equals if equals and option.startswith("-") else ""
    found = []
    for item in items:
        if item.type in ("file", "dir"):
            paths = paths_like(item.value, only_directories=item.type == "dir")
            found += [(f"{prefix}{path}", "path", path.endswith("/")) for path in paths]
        else:
            value = str(item.value)
            kind = item.kind or ("option" if value.startswith("-") else "verb")
            found.append((f"{prefix}{value}", kind, value.endswith("=")))
    return [
        SimpleCompletion(written(word, line.fragment, line.text_after, is_open=is_open), type=kind)
        for word, kind, is_open in found
    ]


def paths_like(incomplete: str, *, only_directories: bool = False) -> list[str]:
    """List the paths that begin so, as they were begun: relative ones and ``~`` stay; directories end with a slash."""
    head, tail = os.path.split(incomplete)
    head = incomplete[: len(incomplete) - len(tail)]
    try:
        with os.scandir(os.path.expanduser(head) or ".") as entries:
            like = (
                (each.name, each.is_dir())
                for each in entries
                if each.name.startswith(tail) and (tail or not each.name.startswith("."))
            )
            found = sorted(islice(like, _MOST_FILES))
    except (OSError, ValueError):
        return []
    return [
        f"{head}{name}{'/' if is_directory else ''}"
        for name, is_directory in found
        if (is_directory or not only_directories) and name.isprintable() and not _EXPANDED.search(name)
    ]


def make_matcher(shell: Any, session: Session) -> Any:
    """Make the matcher that IPython's completer asks first, and on a magic's line alone.

    ``complete_command`` hooks would see ``%moc`` but not ``%%moc``.
    """

    def match(context: CompletionContext) -> SimpleMatcherResult:
        line = magic_line(context.full_text, context.cursor_line, context.cursor_position)
        if line is None or _EXPANDED.search(line.fragment):
            return {"completions": []}
        try:
            found = completions(line, CellOnlooker(shell, session, line.words_after))
        except Exception:
            # IPython would print a traceback into whatever stands below; a Tab that offers nothing says enough.
            found = []
        return {
            "completions": found or Nothing(),
            "matched_fragment": line.fragment,
            "suppress": True,
            "ordered": True,
        }

    return completion_matcher(identifier="moc_kernel.magic_matcher", priority=1000, api_version=2)(match)

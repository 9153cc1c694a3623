"""Random scripts for the program ``script.c``: sequences of file operations, and how their results are read back."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

ROOT = 0
FILE_RIGHTS = 0x0FE0_01FF  # everything that a regular file can be asked for, READ and WRITE among it
READ, WRITE, SEEK, TELL, READDIR = 1 << 1, 1 << 6, 1 << 2, 1 << 5, 1 << 14

names = st.sampled_from([b"a", b"b", b"c", b"tmp"])
_steps = st.one_of(names, names, names, st.sampled_from([b".", b"..", b""]))
_odd_paths = st.sampled_from(
    [b"", b".", b"..", b"/", b"/a", b"a/", b"a//", b"a/.", b"a/..", b"a/../..", b"\0", b"a\0", b"\xff", b"n" * 256]
)
plain_paths = st.lists(names, min_size=1, max_size=3).map(b"/".join)
paths = st.one_of(plain_paths, plain_paths, st.lists(_steps, min_size=1, max_size=4).map(b"/".join), _odd_paths)

_slots = st.integers(0, 4)
_directories = st.one_of(st.just(ROOT), st.just(ROOT), _slots)
_texts = st.text("abcdefgh", max_size=12).map(str.encode)
_sizes = st.integers(0, 40)
_offsets = st.one_of(st.integers(0, 40), st.just(-1), st.just(1 << 40))
_times = st.sampled_from([1_000, 2_000_000_000, 3_000_000_100])
_follow = st.integers(0, 1)
_how = st.sampled_from([0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 8, 9, 10, 13])
_rights = st.sampled_from([READ, WRITE, READ | WRITE, FILE_RIGHTS, FILE_RIGHTS, READ | READDIR])
_flags = st.sampled_from([0, 0, 0, 1, 4])


def _line(*parts: st.SearchStrategy[int] | st.SearchStrategy[bytes] | str) -> st.SearchStrategy[bytes]:
    strategies = [st.just(part.encode()) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(lambda words: b" ".join(_word(word) for word in words))


def _word(word: int | bytes) -> bytes:
    return word if isinstance(word, bytes) else b"%d" % word


def _for_writing_if_changed(line: bytes) -> bytes:
    # What is created or truncated, wasmtime opens for writing whatever rights are asked for: see DIFFERENCES.
    words = line.split(b" ")
    how, rights = int(words[-3]), int(words[-2])
    return b" ".join([*words[:-2], b"%d" % (rights | WRITE if how & 9 else rights), words[-1]])


def operations(
    path: st.SearchStrategy[bytes] = paths, *, directories: st.SearchStrategy[int] = _directories
) -> st.SearchStrategy[bytes]:
    """Give lines of a script; `path` makes the paths, `directories` the slots that they start from."""
    opening = _line("o", directories, _slots, _follow, path, _how, _rights, _flags).map(_for_writing_if_changed)
    making = _line("o", st.just(ROOT), _slots, st.just(0), plain_paths, st.just(1), st.just(FILE_RIGHTS), st.just(0))
    return st.one_of(
        opening, opening, making, making,
        _line("c", _slots),
        _line("r", _slots, _sizes), _line("w", _slots, _texts), _line("w", _slots, _texts),
        _line("R", _slots, _sizes, _offsets), _line("W", _slots, _texts, st.integers(-1, 40)),
        _line("s", _slots, st.integers(-20, 40), st.integers(0, 2)), _line("t", _slots), _line("S", _slots, _sizes),
        _line("f", _slots), _line("F", _slots), _line("g", _slots, st.sampled_from([0, 1, 4, 5])),
        _line("T", _slots, _times), _line("N", _slots, _slots),
        _line("L", directories, st.sampled_from([64, 300, 4096])),
        _line("p", directories, _follow, path), _line("P", directories, _follow, path, _times),
        _line("m", directories, path), _line("m", directories, plain_paths),
        _line("x", directories, path), _line("u", directories, path),
        _line("n", directories, path, directories, path), _line("l", directories, path, directories, path),
        _line("y", directories, path, path), _line("y", directories, plain_paths, plain_paths),
        _line("k", directories, path, _sizes),
    )  # fmt: skip


def scripts(line: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Give whole scripts of these lines, each with a look at the tree at its end."""
    looks = [b"L 0 4096", *(b"p 0 0 %s" % path for path in (b"a", b"b", b"c", b"a/a", b"a/b", b"b/a", b"tmp/a"))]
    return st.lists(line, min_size=1, max_size=40).map(lambda lines: [*lines, *looks])


def answers(output: bytes) -> list[tuple[bytes, ...]]:
    """Give the words of each line; of a listing the error first, then the entries in the order of their names."""
    found = []
    for line in output.splitlines():
        words = line.split(b" ")
        found.append((words[0], words[-1], *sorted(words[1:-1])) if words[0] == b"L" else tuple(words))
    return found


def first_difference(script: Sequence[bytes], one: Sequence[object], other: Sequence[object]) -> str | None:
    """Tell at which line two runs part, None if they do not."""
    for number, (line, mine, theirs) in enumerate(zip(script, one, other, strict=True)):
        if mine != theirs:
            before = b"\n".join(script[:number]).decode("latin-1")
            return f"{before}\n{line.decode('latin-1')!r}: {mine} and {theirs}"
    return None

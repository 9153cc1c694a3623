"""Finding bytes in parts of a content: never missed at a border, in both directions, against Python's own search."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moc_widgets.search import Match, find


def expected(content: bytes, pattern: bytes, start: int, *, forward: bool) -> Match | None:
    places = [at for at in range(len(content)) if content.startswith(pattern, at)]
    ahead = [at for at in places if (at >= start) == forward]
    around = [at for at in places if (at >= start) != forward]
    for found, wrapped in ((ahead, False), (around, True)):
        if found:
            return Match(found[0 if forward else -1], len(pattern), wrapped)
    return None


@given(
    content=st.binary(max_size=60).map(lambda content: bytes(each % 3 for each in content)),
    pattern=st.binary(min_size=1, max_size=5).map(lambda content: bytes(each % 3 for each in content)),
    start=st.integers(0, 70),
    forward=st.booleans(),
    part_bytes=st.integers(1, 9),
)
def test_the_match_is_the_one_that_python_finds(content, pattern, start, forward, part_bytes):
    found = find(
        lambda low, high: content[low:high],
        len(content),
        pattern,
        start,
        forward=forward,
        on_part=lambda _: True,
        part_bytes=part_bytes,
    )
    assert found == expected(content, pattern, min(start, len(content)), forward=forward)


def test_progress_is_told_in_bytes_and_can_end_the_search():
    told: list[int] = []

    def on_part(done: int) -> bool:
        told.append(done)
        return done < 8

    content = bytes(20)
    assert find(lambda a, b: content[a:b], 20, b"x", 6, forward=True, on_part=on_part, part_bytes=4) is None
    assert told == [4, 8]

"""What the verbs offer for a word that is not whole yet, asked through click as both faces do."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from click.shell_completion import ShellComplete

from moc_server_ext.errors import ServerUnreachableError
from moc_server_ext.verbs import build_group


class Face:
    def __init__(self, platform):
        self.platform = platform
        self.words_after: tuple[str, ...] = ()
        self.values: dict[str, object] = {}
        self.looks = 0

    @contextmanager
    def glance(self):
        self.looks += 1
        if isinstance(self.platform, Exception):
            raise self.platform
        yield self.platform

    def variables(self):
        return self.values

    def can_write(self, word):
        return "$" not in word


@pytest.fixture
def face(platform):
    platform.functions.put("add", b"")
    platform.functions.put("upper", b"start")
    platform.buffers.put("books", b"")
    for key in (b"visits/a", b"visits/b", b"-dash", b"\xff", b"$x", b"two\nlines"):
        platform.kv.set(key, b"")
    return Face(platform)


def offered(face, line: str, kind: str = "magic"):
    *words, incomplete = line.split(" ")
    return ShellComplete(build_group(kind), {"obj": face}, "moc", "").get_completions(words, incomplete)


def values(face, line: str, kind: str = "magic") -> list[str]:
    return [each.value for each in offered(face, line, kind)]


def test_names_come_with_what_they_are(face):
    (item,) = offered(face, "call a")
    assert (item.value, item.kind, item.help) == ("add", "function", "add(i32, i32) -> (i32)")
    (item,) = offered(face, "buffer get ")
    assert (item.value, item.kind) == ("books", "buffer")


def test_only_keys_that_can_be_typed_are_offered(face):
    assert values(face, "kv get ") == ["visits/a", "visits/b"]


def test_entry_points_are_those_of_the_function_wherever_it_stands(face):
    assert values(face, "call --entry ") == ["_start", "add"]
    face.words_after = ("add", "1", "2")
    assert values(face, "call --entry ") == ["add"]
    assert values(face, "call --mode direct --entry=") == ["add"]
    face.words_after = ()
    assert values(face, "push upper upper.wasm --entry ") == ["_start"]
    assert values(face, "push nothing nothing.wasm --entry ") == []


def test_what_stands_behind_a_called_function_is_the_guests(face):
    for line in ("call add ", "call add --", "call add --entry ", "call add --mode ", "call add --input-file "):
        assert values(face, line) == [], line
    assert face.looks == 0


def test_variables_are_offered_where_they_fit(face):
    face.values = {"text": "t", "array": bytearray(), "number": 1, "module": pytest, "kind": bytes, "_own": b""}
    assert values(face, "call -i ") == ["array", "text"]
    assert values(face, "call -i _") == ["_own"]
    assert values(face, "kv get -o ") == ["array", "number", "text"]


def test_files_are_left_to_the_face(face):
    for line in ("push name a", "compile a", "call --input-file a", "buffer put name a", "compile x.c -o a"):
        assert [(each.type, each.value) for each in offered(face, line)] == [("file", "a")], line


def test_a_platform_that_is_not_there_or_away_offers_nothing(face):
    for platform in (None, ServerUnreachableError("https://localhost:1", "the connection was refused")):
        face.platform = platform
        for line in ("call ", "buffer get ", "kv get ", "call --entry ", "mapreduce --map "):
            assert values(face, line) == [], line
        assert values(face, "call --mode p") == ["posix"]

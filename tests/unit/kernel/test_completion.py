"""Taking a magic's line apart at the cursor, and writing words so that it reads them back."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_kernel.completion import magic_line, paths_like, written


def at(text: str):
    before, bar, after = text.partition("|")
    assert bar
    return magic_line(before + after, before.count("\n"), len(before.rpartition("\n")[2]))


@pytest.mark.parametrize(
    "text",
    [
        "%mo|c call",
        "%moc|",
        "moc |",
        "%mocca |",
        "%%mocca |",
        "print(1)  # %moc |",
        "print('%moc |",
        "%%moc c name\nint ma|in() {}",
        "%%moc call name\n%moc |",
        "x = 5\n|\n%moc call",
        "|",
    ],
)
def test_what_is_no_line_of_the_magic_is_left_alone(text):
    assert at(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "%moc kv get vi|",
        "%%moc kv get vi|\ntext",
        "\n  \n%%moc kv get vi|\ntext",
        "if True:\n    %moc kv get vi|",
        "value = %moc kv get vi|",
        "%%time\n%moc kv get vi|",
        "%moc kv \\\n   get vi|",
        "%moc\tkv  get   vi|",
    ],
)
def test_a_line_of_the_magic_is_found_wherever_it_stands(text):
    line = at(text)
    assert (line.words, line.fragment, line.incomplete) == (("kv", "get"), "vi", "vi")


@pytest.mark.parametrize(
    ("typed", "words", "fragment", "incomplete"),
    [
        ("", (), "", ""),
        ("kv ", ("kv",), "", ""),
        ("kv 'a b' ", ("kv", "a b"), "", ""),
        ("kv 'a b", ("kv",), "'a b", "a b"),
        ('kv "a b', ("kv",), '"a b', "a b"),
        ("kv a\\ b", ("kv",), "a\\ b", "a b"),
        ("kv a\\", ("kv",), "a\\", "a"),
        ("kv # x", ("kv", "#"), "x", "x"),
        ("kv '", ("kv",), "'", ""),
    ],
)
def test_the_words_before_the_cursor_are_those_that_the_magic_will_read(typed, words, fragment, incomplete):
    line = at(f"%moc {typed}|")
    assert (line.words, line.fragment, line.incomplete) == (words, fragment, incomplete)


def test_the_words_behind_the_cursor_are_whole_ones():
    assert at("%moc call --entry | add 1").words_after == ("add", "1")
    assert at("%moc call --entry st|art add 1").words_after == ("add", "1")
    assert at("%moc call --entry '|' add 'open").words_after == ("add", "'open")


@given(
    st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1), st.sampled_from(["", "'", '"'])
)
def test_a_written_word_is_read_back_as_itself(word, quote):
    assert shlex.split(written(word, quote)) == [word]


@given(st.text("ab '\"\\é", min_size=1), st.sampled_from(["", "'", '"']))
def test_a_word_that_goes_on_is_read_on_from_where_it_ends(word, quote):
    line = at(f"%moc {written(word, quote, is_open=True)}|")
    assert (line.words, line.incomplete) == ((), word)


def test_a_quote_that_the_editor_has_closed_is_not_closed_again():
    assert written("a b", "'a", "' more") == "'a b"
    assert written("a b", "'a", " more") == "'a b'"


def test_paths_keep_the_way_they_were_begun(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file.c").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "index").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths_like("in") == ["index", "inner/"]
    assert paths_like("in", only_directories=True) == ["inner/"]
    assert paths_like("./inner/") == ["./inner/file.c"]
    assert paths_like("~/inn") == ["~/inner/"]
    assert paths_like(f"{tmp_path}/inner/f") == [f"{tmp_path}/inner/file.c"]
    assert paths_like("") == ["index", "inner/"]
    assert paths_like(".h") == [".hidden"]
    assert paths_like("nowhere/") == paths_like("\0/") == []

"""What holds for every verb, on both faces."""

import shlex

import click
import pytest

from moc_server_ext.errors import UsageError
from moc_server_ext.verbs import MessageOutcome, build_group
from moc_server_ext.verbs.commands import Verb

CLI_ONLY_OPTIONS = {"--output-file"}
MAGIC_ONLY_VERBS = {"browse", "c", "connect", "inspect", "wat"}


def verbs_of(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs_of(command, (*path, name))
        else:
            yield (*path, name), command


def every_verb():
    for face in ("cli", "magic"):
        for path, verb in verbs_of(build_group(face)):
            yield pytest.param(face, path, verb, id=f"{face}-{'-'.join(path)}")


@pytest.mark.parametrize(("face", "path", "verb"), list(every_verb()))
def test_every_verb_has_a_purpose_of_one_line_and_help_for_each_option(face, path, verb):
    purpose = verb.get_short_help_str(limit=200)
    assert purpose.endswith(".")
    assert not purpose.endswith("...")
    assert all(each.help for each in verb.params if isinstance(each, click.Option))


@pytest.mark.parametrize(("face", "path", "verb"), list(every_verb()))
def test_every_verb_has_an_example_that_parses(face, path, verb, host):
    assert isinstance(verb, Verb)
    assert verb.example
    for line in verb.example:
        prompt, *words = shlex.split(line)
        assert prompt.lstrip("%") == "moc"
        assert (face == "magic") == prompt.startswith("%")
        assert tuple(words[: len(path)]) == path
        verb.make_context(path[-1], words[len(path) :], obj=host)


@pytest.mark.parametrize(("face", "path", "verb"), list(every_verb()))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_every_verb_is_returned_with_usage_and_example(face, path, verb, flag, moc, magic):
    outcome = (moc if face == "cli" else magic)(*path, flag)
    assert isinstance(outcome, MessageOutcome)
    assert outcome.text.startswith(f"Usage: {'moc' if face == 'cli' else '%moc'} {' '.join(path)}")
    assert verb.example[0] in outcome.text


def test_what_belongs_to_one_face_is_absent_from_the_other():
    cli = dict(verbs_of(build_group("cli")))
    magic = dict(verbs_of(build_group("magic")))
    assert {path[0] for path in magic.keys() - cli.keys()} == MAGIC_ONLY_VERBS
    assert not cli.keys() - magic.keys()
    assert {name for verb in magic.values() for each in verb.params for name in each.opts}.isdisjoint(CLI_ONLY_OPTIONS)
    assert "-i" not in {name for verb in cli.values() for each in verb.params for name in each.opts}


def test_building_one_face_leaves_the_other_as_it_was():
    before = [name for each in build_group("cli").commands["call"].params for name in each.opts]
    build_group("magic")
    assert [name for each in build_group("cli").commands["call"].params for name in each.opts] == before


@pytest.mark.parametrize("words", [(), ("buffer",), ("kv",), ("function",)])
def test_a_group_without_a_verb_answers_with_its_help(words, moc):
    assert moc(*words).to_text().startswith(f"Usage: {' '.join(('moc', *words))} ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("clal", "f"), "Did you mean 'call' or "),
        (("buffer", "gett", "b"), "Did you mean 'get'?"),
        (("call", "--inputt", "x", "f"), "'--input'"),
        (("zzz",), "Verbs: push, call, "),
    ],
)
def test_what_was_mistyped_is_answered_with_what_is_near(words, hint, moc):
    with pytest.raises(UsageError) as caught:
        moc(*words)
    assert hint in caught.value.message
    assert "\n" not in caught.value.message


def test_a_usage_error_names_the_help_of_its_verb(moc):
    with pytest.raises(UsageError, match=r"Missing argument 'NAME'. `moc call -h` shows how it is used\."):
        moc("call")

"""Guests compare, count, remove, list and change many keys at once, with what their grants cover and no more."""

from __future__ import annotations

import base64
import json
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, Declaration, parse_grants

HOSTILE = b"g/\0/%\xff\n"


@pytest.fixture(autouse=True)
def nothing_is_there(moc):
    for key in moc.kv.list():
        moc.kv.delete(key)


def test_a_value_is_replaced_only_if_it_is_the_expected_one(moc, play, program):
    moc.kv.set(HOSTILE, b"old\0")
    content = program.wasm(program.call("persistence_compare_and_set", HOSTILE, b"old\0", b"new\xff"))
    assert play(content, grants=("kv:g/",)).result == 0
    assert moc.kv.get(HOSTILE) == b"new\xff"
    result = play(content, grants=("kv:g/",))
    assert (result.result, result.stderr) == (-Errno.EAGAIN, b"")
    assert moc.kv.get(HOSTILE) == b"new\xff"


@pytest.mark.parametrize("there", [False, True])
def test_a_length_of_minus_one_is_a_key_that_is_not_there(moc, play, program, there):
    """Expected: it is made. As the value: it is removed."""
    if there:
        moc.kv.set(b"g/k", b"v")
    *key, ptr, length = program.numbers(b"g/k", b"v")
    there_or_not = [(ptr, length), (0, -1)]
    numbers = [*key, *there_or_not[not there], *there_or_not[there]]
    body = f"(call $persistence_compare_and_set {' '.join(f'(i32.const {each})' for each in numbers)})"
    assert play(program.wasm(body), grants=("kv",)).result == 0
    assert moc.kv.list() == ([] if there else [b"g/k"])
    assert play(program.wasm(body), grants=("kv",)).result == -Errno.EAGAIN


def test_a_number_is_counted_and_the_sum_is_written_in_its_place(moc, play, program):
    moc.kv.set(b"g/n", b"40")
    (place, _) = program.numbers(struct.pack("<q", -50))
    count = program.call("persistence_increment", b"g/n", place, 8)
    tell = f"(drop (call $write_exchange_buffer (call $get_output_buffer_id) (i32.const {place}) (i32.const 8)))"
    result = play(program.wasm(f"(drop {count})", tell), grants=("kv:g/",))
    assert struct.unpack("<q", result.output) == (-10,)
    assert moc.kv.get(b"g/n") == b"-10"


def test_what_is_no_number_is_refused_with_a_line_that_says_so(moc, play, program):
    moc.kv.set(b"g/n", b"many")
    result = play(program.wasm(program.call("persistence_increment", b"g/n", 8, 8)), grants=("kv",))
    assert result.result == -Errno.EINVAL
    assert b"no whole number" in result.stderr
    assert moc.kv.get(b"g/n") == b"many"


def test_increments_of_calls_at_the_same_time_are_all_counted(moc, program):
    (place, _) = program.numbers(struct.pack("<q", 1))
    content = program.wasm(program.call("persistence_increment", b"g/n", place, 8))
    moc.functions.put("count", content, Declaration(grants=parse_grants(("kv:g/",))))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: moc.call_sync(CallRequest("count", entry="run")).result, range(20)))
    assert results == [0] * 20
    assert moc.kv.get(b"g/n") == b"20"


def test_a_removed_key_is_gone_and_removing_it_again_is_enoent(moc, play, program):
    moc.kv.set(HOSTILE, b"v")
    content = program.wasm(program.call("persistence_delete", HOSTILE))
    assert [play(content, grants=("kv:g/",)).result for _ in range(2)] == [0, -Errno.ENOENT]
    assert moc.kv.list() == []


def test_keys_are_listed_exactly_and_page_by_page(moc, play, program):
    keys = [b"g/a", HOSTILE, b"g/\xff", b"g/b", b"h"]
    for key in keys:
        moc.kv.set(key, b"")
    found, after = [], b""
    while True:
        content = program.wasm(program.pour(program.call("persistence_list", b"g/", after, 3)))
        page = json.loads(play(content, grants=("kv:g/",)).output)["keys"]
        found += [base64.b64decode(each["base64"]) for each in page]
        if len(page) < 3:
            break
        after = found[-1]
    assert found == sorted(key for key in keys if key.startswith(b"g/"))


def test_a_transaction_of_a_guest_makes_all_of_its_changes_or_none(moc, play, program):
    moc.kv.set(b"g/old", b"1")
    changes = [
        {"change": "set", "key_base64": base64.b64encode(HOSTILE).decode(), "value": "ä"},
        {"change": "increment", "key": "g/n", "by": 5},
        {"change": "compare_and_set", "key": "g/old", "expected": "1", "value": None},
    ]
    content = program.wasm(program.pour(program.call("persistence_apply", json.dumps(changes))))
    assert json.loads(play(content, grants=("kv:g/",)).output) == {"results": [None, 5, None]}
    assert moc.kv.scan().items == ((HOSTILE, "ä".encode()), (b"g/n", b"5"))
    refused = program.wasm(program.call("persistence_apply", json.dumps(changes)))
    assert play(refused, grants=("kv:g/",)).result == -Errno.EAGAIN
    assert moc.kv.get(b"g/n") == b"5"


def test_one_key_without_a_grant_refuses_the_whole_transaction(moc, play, program):
    changes = [{"change": "set", "key": each, "value": "v"} for each in ("g/a", "other/a")]
    result = play(program.wasm(program.call("persistence_apply", json.dumps(changes))), grants=("kv:g/",))
    assert result.result == -Errno.EACCES
    assert b"no grant 'kv:other/a'" in result.stderr
    assert moc.kv.list() == []


@pytest.mark.parametrize(
    "changes",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b"[1]",
        b"[{}]",
        b'[{"change": "set", "key": "k"}]',
        b'[{"change": "set", "key": "k", "valeu": "v"}]',
        b'[{"change": "set", "key": "", "value": "v"}]',
        b'[{"change": "set", "key": "k", "key_base64": "aw==", "value": "v"}]',
        b'[{"change": "set", "key": "\\ud800", "value": "v"}]',
        b'[{"change": "set", "key_base64": "a", "value": "v"}]',
        b'[{"change": "set", "key": 5, "value": "v"}]',
        b'[{"change": "compare_and_set", "key": "k", "value": "v"}]',
        b'[{"change": "compare_and_set", "key": "k", "expected": null}]',
        b'[{"change": "increment", "key": "k", "by": 1.5}]',
        b'[{"change": "increment", "key": "k", "by": true}]',
        b'[{"change": "increment", "key": "k", "by": 9223372036854775808}]',
        b'[{"change": ["set"], "key": "k"}]',
    ],
)
def test_what_is_no_list_of_changes_is_refused_and_changes_nothing(moc, play, program, changes):
    result = play(program.wasm(program.call("persistence_apply", changes)), grants=("kv",))
    assert result.result == -Errno.EINVAL
    assert result.stderr.count(b"\n") == 1
    assert moc.kv.list() == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("persistence_delete", (b"g/k",)),
        ("persistence_compare_and_set", (b"g/k", b"v", b"w")),
        ("persistence_increment", (b"g/k", 8, 8)),
        ("persistence_list", (b"", b"", 10)),
    ],
)
def test_keys_beyond_the_grant_are_neither_changed_nor_told(moc, play, program, name, values):
    moc.kv.set(b"g/k", b"v")
    result = play(program.wasm(program.call(name, *values)), grants=("kv:g/other",))
    assert result.result == -Errno.EACCES
    assert b"no grant" in result.stderr
    assert moc.kv.scan().items == ((b"g/k", b"v"),)

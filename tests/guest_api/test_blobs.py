"""Guests register modules and blobs, and read them again."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import pytest

from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import FunctionNotFoundError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, Declaration, parse_grants

SEVEN = wat_to_wasm('(module (func (export "seven") (result i32) (i32.const 7)))')
SEVEN_ID = hashlib.sha256(SEVEN).hexdigest()
WASM = "application/wasm"


def test_a_registered_module_is_a_function_that_everybody_can_call(moc, play, program):
    register = program.call("register_blob_with_name", "made/seven", WASM, SEVEN)
    result = play(program.wasm(program.pour(register)), grants=("register:made/*",))
    assert (result.result, result.output.decode()) == (0, SEVEN_ID)
    assert moc.call_sync(CallRequest("made/seven")).result == 7
    assert moc.functions.get("made/seven").declaration == Declaration()


def test_a_guest_registers_a_function_and_calls_it_at_once(play, program):
    register = program.pour(program.call("register_blob_with_name", "made/now", WASM, SEVEN))
    call = program.call("call_function", "made/now", "", 0, 0, "direct", 0, 0, "", 0, 0)
    assert play(program.wasm(register, call), grants=("register", "call:made/*")).result == 7


def test_a_function_that_is_replaced_loses_what_it_was_granted(moc, play, program):
    """Or a guest could write code that runs with the grants of another function."""
    moc.functions.put("powerful", SEVEN, Declaration(grants=parse_grants(("kv",), ("example.com",)), reusable=True))
    register = program.call("register_blob_with_name", "powerful", WASM, SEVEN)
    assert play(program.wasm(program.pour(register)), grants=("register",)).result == 0
    assert moc.functions.get("powerful").declaration == Declaration()


@pytest.mark.parametrize("grants", [(), ("register:other*",), ("blob",)])
def test_without_the_grant_nothing_is_registered_and_stderr_says_what_is_missing(moc, play, program, grants):
    result = play(program.wasm(program.call("register_blob_with_name", "refused", WASM, SEVEN)), grants=grants)
    assert result.result == -Errno.EACCES
    assert b"no grant 'register:refused'" in result.stderr
    with pytest.raises(FunctionNotFoundError):
        moc.functions.get("refused")


@pytest.mark.parametrize(
    ("name", "content_type", "content", "errno", "reason"),
    [
        ("", WASM, SEVEN, Errno.EINVAL, b"cannot be a function name"),
        ("a" * 513, WASM, SEVEN, Errno.EINVAL, b"cannot be a function name"),
        ("0" * 64, WASM, SEVEN, Errno.EINVAL, b"cannot be named like a blob id"),
        ("page", "text/html", SEVEN, Errno.EINVAL, b"cannot be executed"),
        ("page", WASM, b"<html>", Errno.ENOEXEC, b"not a WebAssembly module"),
        (
            "page",
            WASM,
            wat_to_wasm('(module (import "env" "rand" (func)))'),
            Errno.ENOEXEC,
            b"imports `env.rand`",
        ),
        ("page", b"\xff", SEVEN, Errno.EINVAL, b""),
    ],
)
def test_what_push_refuses_is_refused_with_the_same_words(
    moc, play, program, name, content_type, content, errno, reason
):
    register = program.call("register_blob_with_name", name, content_type, content)
    result = play(program.wasm(register), grants=("register",))
    assert result.result == -errno
    assert reason in result.stderr
    assert {each.name for each in moc.functions.list()}.isdisjoint({name, "page"})


def test_bytes_without_a_name_are_stored_under_their_id(moc, play, program):
    content = b"<p>not executable" + bytes(range(256))
    register = program.call("register_blob", "text/html; charset=utf-8", content)
    result = play(program.wasm(program.pour(register)), grants=("register",))
    assert result.output.decode() == hashlib.sha256(content).hexdigest()
    assert moc.blobs.read(result.output.decode()) == content
    assert moc.blobs.stat(result.output.decode()).content_type == "text/html; charset=utf-8"


def test_bytes_that_are_stored_already_keep_their_content_type(moc, play, program):
    """What others stored is not a guest's to change, or its page could become a script."""
    blob_id = moc.blobs.put(b"body {}", "text/css").blob_id
    register = program.call("register_blob", "text/html", b"body {}")
    assert play(program.wasm(program.pour(register)), grants=("register",)).output.decode() == blob_id
    assert moc.blobs.stat(blob_id).content_type == "text/css"


def test_registering_leaves_the_event_loop_to_others(moc, program, monkeypatch):
    """The storage is slow until another guest on the same loop has run."""
    register = program.wasm(program.pour(program.call("register_blob_with_name", "made/slowly", WASM, SEVEN)))
    moc.functions.put("registrar", register, Declaration(grants=parse_grants(("register:made/*",))))
    moc.functions.put("seven", SEVEN)
    other_ran = threading.Event()
    put = type(moc.functions).put

    def slow(self, name, *values):
        assert other_ran.wait(60)
        return put(self, name, *values)

    async def both():
        registering = asyncio.ensure_future(moc.call(CallRequest("registrar")))
        other = await moc.call(CallRequest("seven"))
        other_ran.set()
        return other.result, (await registering).output

    monkeypatch.setattr(type(moc.functions), "put", slow)
    assert asyncio.run(both()) == (7, SEVEN_ID.encode())


@pytest.mark.parametrize("grants", [(), ("register:some*",)])
def test_bytes_without_a_name_need_the_grant_for_everything(play, program, grants):
    result = play(program.wasm(program.call("register_blob", "text/plain", b"x")), grants=grants)
    assert result.result == -Errno.EACCES
    assert b"no grant 'register'" in result.stderr


def test_what_is_no_content_type_is_refused(play, program):
    result = play(program.wasm(program.call("register_blob", "text", b"x")), grants=("register",))
    assert result.result == -Errno.EINVAL


def test_a_name_leads_to_its_blob_and_the_blob_to_its_bytes(moc, play, program):
    moc.functions.put("read/seven", SEVEN)
    by_name = program.pour(program.call("get_blob_tech_id_from_name", "read/seven"))
    assert play(program.wasm(by_name), grants=("blob:read/*",)).output.decode() == SEVEN_ID
    for asked in ("read/seven", SEVEN_ID):
        read = program.pour(program.call("get_blob_bytes_as_string", asked))
        assert play(program.wasm(read), grants=("blob",)).output == SEVEN


@pytest.mark.parametrize("name", ["get_blob_tech_id_from_name", "get_blob_bytes_as_string"])
def test_what_is_not_there_is_enoent_and_without_the_grant_nobody_learns_of_it(moc, play, program, name):
    absent = program.wasm(program.call(name, "read/absent"))
    result = play(absent, grants=("blob:read/*",))
    assert (result.result, result.stderr) == (-Errno.ENOENT, b"")
    moc.functions.put("hidden", SEVEN)
    refused = [play(program.wasm(program.call(name, each))) for each in ("hidden", "hiding")]
    assert [each.result for each in refused] == [-Errno.EACCES] * 2
    assert refused[0].stderr.replace(b"hidden", b"hiding") == refused[1].stderr


def test_a_blob_that_the_buffers_have_no_room_for_is_enospc(moc, play, program):
    blob_id = moc.blobs.put(bytes(5000)).blob_id
    read = program.wasm(program.pour(program.call("get_blob_bytes_as_string", blob_id)))
    assert play(read, grants=("blob",), limits={"scratch_bytes": 4999}).result == -Errno.ENOSPC
    assert play(read, grants=("blob",), limits={"scratch_bytes": 5000}).output == bytes(5000)


def test_a_call_names_its_callee_by_blob_id_as_the_first_version_did(moc, play, program):
    blob_id = moc.blobs.put(SEVEN, WASM).blob_id
    call = program.call("call_function", f"techID://{blob_id}", "seven", 0, 0, "", 0, 0, "", 0, 0)
    assert play(program.wasm(call), grants=(f"call:{blob_id}",)).result == 7


@pytest.mark.parametrize("name", ["core", "my-own-cluster"])
def test_a_program_of_one_name_may_have_the_other_name_beside_it(play, name):
    """Modules that were linked of old and new objects import both."""
    other = {"core": "my-own-cluster", "my-own-cluster": "core"}[name]
    module = wat_to_wasm(f"""(module
      (import "{name}" "test" (func $old (result i32))) (import "{other}" "is_trace" (func $new (result i32)))
      (memory (export "memory") 1) (func (export "run") (result i32) (i32.add (call $old) (call $new))))""")
    assert play(module).result == 0

"""What the addresses do, over TLS, with raw HTTP."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math

import pytest

from moc_server_ext.model import CallInput, CallRequest, CallResult, Mode


def keep_request(gateway, result=None):
    """Answer calls and keep what was asked."""
    seen: list[CallRequest] = []

    def call(request):
        seen.append(request)
        return result or gateway.platform.uppercase(request)

    gateway.platform.on_call = call
    return seen


def test_status_tells_the_instance(gateway):
    assert gateway.request("GET", "status").json()["instance_id"] == gateway.platform.storage.instance_id


# -- functions --------------------------------------------------------------------------------------------------------


def test_a_function_is_registered_with_its_declaration(gateway):
    response = gateway.request(
        "PUT",
        "functions/up?mode=posix&entry=_start&grant=kv:app/&grant=blob&allow-host=example.org:443"
        "&limit=memory_bytes=1MiB&limit=timeout_seconds=2&reusable&deterministic=true",
        content=b"\0asm",
    )
    assert response.status_code == 201
    assert response.headers["location"] == "/moc/api/v1/functions/up"
    assert response.json()["name"] == "up"
    assert response.json()["size"] == 4
    declaration = gateway.platform.functions.records["up"].declaration
    assert declaration.mode is Mode.POSIX
    assert declaration.grants.permissions == {"kv:app/", "blob"}
    assert declaration.grants.allowed_hosts == {"example.org:443"}
    assert declaration.limits == {"memory_bytes": 1 << 20, "timeout_seconds": 2.0}
    assert declaration.reusable
    assert declaration.deterministic


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded"])
def test_a_module_needs_no_content_type(gateway, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    gateway.request("PUT", "functions/up", content=b"\0asm", headers=headers)
    assert gateway.platform.functions.records["up"].content_type == "application/wasm"


@pytest.mark.parametrize("name", ["a/b", "a b", "ü", "a%2Fb", "..", ".", "?x=1#y"])
def test_names_come_back_as_they_were_given(client, name):
    client.functions.put(name, b"\0asm")
    assert client.functions.get(name).name == name
    client.buffers.put(name, b"content of " + name.encode())
    assert client.buffers.read(name) == b"content of " + name.encode()
    assert [each.name for each in client.buffers.list()] == [name]
    client.functions.delete(name)
    assert client.functions.list() == []


def test_the_location_of_a_name_with_a_slash_leads_to_it(gateway):
    response = gateway.request("PUT", "buffers/a%2Fb%20c", content=b"hello")
    assert response.headers["location"] == "/moc/api/v1/buffers/a%2Fb%20c"
    relative = response.headers["location"].removeprefix("/moc/api/v1/")
    assert gateway.request("GET", relative).content == b"hello"


@pytest.mark.parametrize("name", ["%00", "%0a", "%20x", "%ff", "a" * 600])
def test_names_that_cannot_be_one_are_400(gateway, name):
    assert gateway.request("PUT", f"functions/{name}", content=b"\0asm").status_code == 400


def test_delete_is_204_and_then_404(gateway):
    gateway.request("PUT", "functions/up", content=b"\0asm")
    response = gateway.request("DELETE", "functions/up")
    assert response.status_code == 204
    assert response.content == b""
    assert "content-type" not in response.headers
    assert gateway.request("DELETE", "functions/up").status_code == 404


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_answers_with_the_output_and_its_facts(gateway):
    response = gateway.request("POST", "functions/up/call", content=b"hello")
    assert response.status_code == 200
    assert response.content == b"HELLO"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["moc-call-id"] == "call-1"
    assert response.headers["moc-exit-code"] == "0"
    assert response.headers["moc-duration-us"] == "42"
    assert "moc-result" not in response.headers


def test_guest_output_cannot_run_in_a_browser(gateway):
    headers = {"content-type": "text/html"}
    keep_request(gateway, CallResult("c", None, 0, b"<script>", output_headers=headers))
    response = gateway.request("POST", "functions/up/call")
    assert response.headers["content-type"] == "text/html"
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html\r\nSet-Cookie: a=b",
        "text/html\nX: y",
        "text",
        "text/html; charset=\x00",
        "téxt/html",
        "text/html, text/plain",
        "a/" + "b" * 600,
        "",
    ],
)
def test_a_guests_content_type_cannot_inject_headers(gateway, content_type):
    keep_request(gateway, CallResult("c", None, 0, b"", output_headers={"content-type": content_type}))
    response = gateway.request("POST", "functions/up/call")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    assert "set-cookie" not in response.headers


def test_other_headers_of_the_guest_stay_inside(gateway):
    given = {"set-cookie": "a=b", "location": "https://evil.example", "x-y": "z", "moc-call-id": "forged"}
    keep_request(gateway, CallResult("c", None, 0, b"", output_headers=given))
    response = gateway.request("POST", "functions/up/call")
    assert response.headers["moc-call-id"] == "c"
    assert not {"set-cookie", "location", "x-y"} & set(response.headers)


def test_the_query_of_a_call_is_handed_on(gateway):
    seen = keep_request(gateway)
    gateway.request(
        "POST",
        "functions/a%2Fb/call?mode=posix&entry=main&arg=-d&arg=&arg=a%26b+c&env=K=V=W&env=E=&limit=timeout_seconds=2",
        content=b"in\0put",
    )
    assert seen == [
        CallRequest(
            function="a/b",
            arguments=("-d", "", "a&b c"),
            mode=Mode.POSIX,
            entry="main",
            env={"K": "V=W", "E": ""},
            input=b"in\0put",
            limits={"timeout_seconds": 2.0},
            caller="token",
        )
    ]


def test_a_form_body_of_curl_is_the_input_as_it_is(gateway):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = gateway.request("POST", "functions/up/call", content=b"a=1&b=%20", headers=headers)
    assert response.content == b"A=1&B=%20"


def test_the_parts_of_a_multipart_body_are_the_inputs(gateway):
    seen = keep_request(gateway)
    parts = {"a": ("a", b"1", "text/plain"), "b": ("b", b"2", "application/octet-stream")}
    assert gateway.request("POST", "functions/up/call", files=parts).status_code == 200
    assert (seen[0].input, seen[0].input_headers) == (b"1", {"content-type": "text/plain"})
    assert seen[0].more_inputs == (CallInput(b"2"),)


def test_an_exit_code_is_a_result(gateway):
    keep_request(gateway, CallResult("c", None, 3, b"partial"))
    response = gateway.request("POST", "functions/up/call")
    assert response.status_code == 200
    assert response.headers["moc-exit-code"] == "3"
    assert response.content == b"partial"


@pytest.mark.parametrize(
    ("result", "header"),
    [(5, "5"), (2.5, "2.5"), ((1, 2), "[1, 2]"), (math.inf, '"Infinity"'), (2**63 - 1, str(2**63 - 1))],
)
def test_a_direct_result_comes_as_json_in_a_header(gateway, client, result, header):
    keep_request(gateway, CallResult("c", result, None, b""))
    response = gateway.request("POST", "functions/add/call?mode=direct&arg=2&arg=3")
    assert response.headers["moc-result"] == header
    assert "moc-exit-code" not in response.headers
    assert client.call_sync(CallRequest("add")).result == result


def test_the_headers_of_an_output_reach_the_client(gateway, client):
    headers = {"content-type": "text/csv", "x-rows": "3"}
    keep_request(gateway, CallResult("c", None, 0, b"1,2", output_headers=headers))
    assert client.call_sync(CallRequest("up")).output_headers == headers


def test_a_call_answers_in_json_to_those_who_ask_for_it(gateway):
    response = gateway.request(
        "POST", "functions/up/call", content=b"\xff\0hi", headers={"Accept": "text/html, application/json;q=0.5"}
    )
    assert response.json() == {
        "call_id": "call-1",
        "function": "",
        "result": None,
        "exit_code": 0,
        "output": base64.b64encode(b"\xff\0HI").decode(),
        "stderr": "a warning",
        "duration_us": 42,
        "output_headers": {},
    }


def test_the_client_calls_with_everything(gateway, client):
    seen = keep_request(gateway)
    request = CallRequest(
        "a/b", ("x", "", "ü"), Mode.DIRECT, "entry", {"K": "V"}, b"\0\xff", {"memory_bytes": 65536}, caller="token"
    )
    result = client.call_sync(request)
    caller, _, name = seen[0].caller.partition("/")
    assert caller == "token"
    assert len(name) >= 16  # By which it shares the server fairly with other clients of this token.
    assert [dataclasses.replace(each, caller="token") for each in seen] == [request]
    assert result.output == b"\0\xff"
    assert result.stderr == b"a warning"


# -- blobs ------------------------------------------------------------------------------------------------------------


def test_a_blob_has_its_hash_as_etag_and_never_changes(gateway):
    posted = gateway.request("POST", "blobs", content=b"abc", headers={"Content-Type": "text/plain"})
    assert posted.status_code == 201
    blob_id = posted.json()["blob_id"]
    assert posted.headers["location"] == f"/moc/api/v1/blobs/{blob_id}"
    got = gateway.request("GET", f"blobs/{blob_id}")
    assert (got.content, got.headers["content-type"], got.headers["etag"]) == (b"abc", "text/plain", f'"{blob_id}"')
    assert "immutable" in got.headers["cache-control"]
    assert got.headers["content-security-policy"] == "sandbox"
    again = gateway.request("GET", f"blobs/{blob_id}", headers={"If-None-Match": f'"x", W/"{blob_id}"'})
    assert (again.status_code, again.content) == (304, b"")


def test_an_unknown_blob_is_404_and_a_malformed_id_400(gateway):
    assert gateway.request("GET", "blobs/" + "0" * 64).status_code == 404
    assert gateway.request("GET", "blobs/xyz").status_code == 400


# -- buffers and ranges -----------------------------------------------------------------------------------------------


@pytest.fixture
def digits(gateway):
    gateway.request("PUT", "buffers/digits", content=b"0123456789", headers={"Content-Type": "text/plain"})
    return gateway


@pytest.mark.parametrize(
    ("header", "content", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-999999", b"89", "bytes 8-9/10"),
    ],
)
def test_one_range_is_answered_in_part(digits, header, content, content_range):
    response = digits.request("GET", "buffers/digits", headers={"Range": header})
    assert response.status_code == 206
    assert response.content == content
    assert response.headers["content-range"] == content_range


@pytest.mark.parametrize("header", ["bytes=0-1,4-5", "bytes=", "bytes=-", "bytes=5-2", "items=0-1", "bytes=a-b", "0-1"])
def test_other_ranges_are_ignored(digits, header):
    response = digits.request("GET", "buffers/digits", headers={"Range": header})
    assert response.status_code == 200
    assert response.content == b"0123456789"
    assert "content-range" not in response.headers


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999999999999-"])
def test_a_range_beyond_the_end_is_416_with_the_size(digits, header):
    response = digits.request("GET", "buffers/digits", headers={"Range": header})
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */10"


def test_head_tells_what_get_would_send(digits):
    got = digits.request("GET", "buffers/digits")
    head = digits.request("HEAD", "buffers/digits")
    assert head.content == b""
    assert head.headers["content-length"] == "10"
    for name in ("content-type", "etag", "accept-ranges", "moc-record"):
        assert head.headers[name] == got.headers[name]
    assert json.loads(head.headers["moc-record"])["name"] == "digits"


def test_the_etag_of_a_buffer_changes_with_its_content(digits):
    before = digits.request("HEAD", "buffers/digits").headers["etag"]
    assert digits.request("GET", "buffers/digits", headers={"If-None-Match": before}).status_code == 304
    digits.request("PUT", "buffers/digits", content=b"9876543210")
    assert digits.request("GET", "buffers/digits", headers={"If-None-Match": before}).content == b"9876543210"
    stale = digits.request("GET", "buffers/digits", headers={"If-Range": before, "Range": "bytes=0-1"})
    assert stale.status_code == 200


def test_a_stored_page_cannot_run_in_a_browser(gateway):
    gateway.request("PUT", "buffers/page", content=b"<script>", headers={"Content-Type": "text/html"})
    response = gateway.request("GET", "buffers/page")
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("content_type", ["text", "text/html\tx", "a/" + "b" * 600])
def test_a_content_type_that_is_none_is_400(gateway, content_type):
    response = gateway.request("PUT", "buffers/x", content=b"", headers={"Content-Type": content_type})
    assert response.status_code == 400


def test_the_client_reads_buffers_as_the_platform_does(gateway, client):
    record = client.buffers.put("b", b"0123456789", "text/plain", {"X-One": "ü\n"})
    assert client.buffers.stat("b") == record == gateway.platform.buffers.stat("b")
    assert record.headers == gateway.platform.buffers.stat("b").headers
    for start, stop in [
        (0, None),
        (0, 0),
        (0, 3),
        (3, 7),
        (7, None),
        (7, 99),
        (10, None),
        (10, 12),
        (99, None),
        (5, 2),
    ]:
        assert client.buffers.read("b", start, stop) == gateway.platform.buffers.read("b", start, stop), (start, stop)
    client.buffers.put("empty", b"")
    assert client.buffers.read("empty") == b""
    assert client.buffers.read("empty", 0, 5) == b""
    client.buffers.delete("b")
    assert [each.name for each in client.buffers.list()] == ["empty"]


def test_the_client_reads_blobs_as_the_platform_does(gateway, client):
    record = client.blobs.put(b"some bytes", "text/plain")
    assert client.blobs.stat(record.blob_id) == record == gateway.platform.blobs.stat(record.blob_id)
    assert client.blobs.read(record.blob_id, 5) == b"bytes"


# -- key-values -------------------------------------------------------------------------------------------------------


def test_keys_are_bytes_through_the_whole_way(gateway, client):
    keys = [b"a/b", b"a%2Fb", b"\xff\x00", "ü".encode(), b"..", b"."]
    for key in keys:
        client.kv.set(key, b"value of " + key)
    assert client.kv.list() == sorted(keys) == gateway.platform.kv.list()
    for key in keys:
        assert client.kv.get(key) == b"value of " + key
    assert client.kv.list(b"a") == [b"a%2Fb", b"a/b"]
    assert client.kv.list(limit=2, after=b".") == sorted(keys)[1:3]
    for key in keys:
        client.kv.delete(key)
    assert client.kv.list() == []


def test_a_value_is_put_and_read_with_plain_http(gateway):
    put = gateway.request("PUT", "kv/user%2F1", content=b"Ada")
    assert (put.status_code, put.headers["location"]) == (201, "/moc/api/v1/kv/user%2F1")
    assert gateway.request("GET", "kv/user%2F1").content == b"Ada"
    listed = gateway.request("GET", "kv?prefix=user/&limit=5").json()
    assert listed == {"keys": [{"key": "user/1", "base64": base64.b64encode(b"user/1").decode()}]}
    assert gateway.request("GET", "kv?prefix=other").json() == {"keys": []}
    assert gateway.request("DELETE", "kv/user%2F1").status_code == 204
    assert gateway.request("GET", "kv/user%2F1").json()["error"]["code"] == "key_not_found"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "limit=99999", "limit=²", "after_base64=!"])
def test_a_bad_page_of_keys_is_400(gateway, query):
    assert gateway.request("GET", f"kv?{query}").status_code == 400


def test_a_change_is_made_only_if_the_key_is_as_its_etag_says(gateway):
    key = "kv/%00%2F%25%FF"
    assert gateway.request("PUT", key, content=b"1", headers={"If-None-Match": "*"}).status_code == 201
    etag = gateway.request("GET", key).headers["etag"]
    assert etag == f'"{hashlib.sha256(b"1").hexdigest()}"'
    refused = gateway.request("PUT", key, content=b"2", headers={"If-None-Match": "*"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "key_conflict")
    assert gateway.request("PUT", key, content=b"2", headers={"If-Match": etag}).status_code == 201
    for method in ("PUT", "DELETE"):
        refused = gateway.request(method, key, content=b"3", headers={"If-Match": etag})
        assert refused.json()["error"]["details"] == {
            "key": "\0/%\\xff",
            "expected": f"the value with the ETag {etag[1:13]}…",
            "found": "2",
            "found_size": 1,
        }
    assert gateway.platform.kv.get(b"\0/%\xff") == b"2"
    etag = gateway.request("HEAD", key).headers["etag"]
    assert gateway.request("DELETE", key, headers={"If-Match": etag}).status_code == 204
    assert gateway.request("DELETE", key, headers={"If-Match": etag}).status_code == 409
    assert gateway.request("DELETE", key, headers={"If-None-Match": "*"}).status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "*"},
        {"If-Match": ""},
        {"If-Match": "x"},
        {"If-Match": f'W/"{"0" * 64}"'},
        {"If-Match": f'"{"0" * 64}", "{"1" * 64}"'},
        {"If-None-Match": f'"{"0" * 64}"'},
        {"If-None-Match": "*", "If-Match": f'"{"0" * 64}"'},
    ],
)
def test_a_condition_that_is_not_understood_is_400_and_nothing_is_changed(gateway, headers):
    for method in ("PUT", "DELETE"):
        assert gateway.request(method, "kv/k", content=b"new", headers=headers).status_code == 400
    assert gateway.platform.kv.list() == []


def test_many_keys_are_changed_at_once_with_plain_http(gateway):
    changes = [
        {"change": "set", "key": "a", "value": "ä"},
        {"change": "increment", "key": "n", "by": -2},
        {"change": "compare_and_set", "key_base64": "/wA=", "expected": None, "value_base64": "/w=="},
    ]
    assert gateway.request("POST", "kv", json=changes).json() == {"results": [None, -2, None]}
    assert gateway.platform.kv.scan().items == ((b"a", "ä".encode()), (b"n", b"-2"), (b"\xff\0", b"\xff"))
    refused = gateway.request("POST", "kv", json=changes)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "key_conflict")
    assert gateway.platform.kv.get(b"n") == b"-2"
    page = gateway.request("GET", "kv?values&limit=2").json()
    assert page["keys"][1] == {"key": "n", "base64": "bg==", "value_base64": "LTI="}
    assert gateway.request("GET", "kv", params={"values": "1", "after_base64": page["after_base64"]}).json() == {
        "keys": [{"key": "\ufffd\0", "base64": "/wA=", "value_base64": "/w=="}],
        "after_base64": None,
    }


@pytest.mark.parametrize("by", ["", "x", "1.5", "1e3", "+1", "0x1", "²", "9223372036854775808", "9" * 5000, "1&by=2"])
def test_what_cannot_be_added_is_400(gateway, by):
    assert gateway.request("POST", f"kv/n/increment?by={by}").status_code == 400
    assert gateway.platform.kv.list() == []


@pytest.mark.parametrize("length", [(64 << 20) + 1, 100 << 20])
def test_a_value_that_is_too_large_is_refused_by_the_server_itself(served, length):
    """Announced, and in chunks of a length that nobody announced."""
    with served(max_body_bytes=256 << 20) as running:
        announced = running.request("PUT", "kv/k", content=bytes(length))
        assert (announced.status_code, announced.json()["error"]["code"]) == (400, "invalid_input")
        part = bytes(1 << 20)
        chunked = running.request("PUT", "kv/k", content=(part for _ in range(length // len(part) + 1)))
        assert (chunked.status_code, chunked.json()["error"]["code"]) == (400, "invalid_input")
        assert running.platform.kv.list() == []


def test_a_key_that_is_too_long_is_refused_before_its_value(gateway):
    for method, address in (("PUT", "kv/{}"), ("GET", "kv/{}"), ("DELETE", "kv/{}"), ("POST", "kv/{}/increment")):
        refused = gateway.request(method, address.format("%FF" * 4097))
        assert (refused.status_code, "4,096 bytes" in refused.text) == (400, True)
    assert gateway.request("PUT", "kv/" + "%FF" * 4096, content=b"v").status_code == 201


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_started_followed_and_read(gateway, client):
    plan = {"source": "text", "map": "wc-map", "reduce": "wc-reduce", "partitions": 5}
    started = gateway.request("POST", "runs", content=json.dumps(plan))
    assert started.status_code == 201
    relative = started.headers["location"].removeprefix("/moc/api/v1/")
    assert gateway.request("GET", relative).json() == started.json()
    assert gateway.request("GET", f"{relative}/output").content == b"a\t1"
    record = client.runs.get(started.json()["run_id"])
    assert record.plan.partitions == 5
    assert client.runs.list() == [record]
    assert client.runs.output(record.run_id) == b"a\t1"
    assert client.runs.cancel(record.run_id) == record
    assert client.runs.start(record.plan).plan == record.plan
    assert gateway.request("GET", "runs/none").json()["error"]["code"] == "run_not_found"

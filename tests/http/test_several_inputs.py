"""The parts of a multipart body are a call's inputs; of a body that is none, nothing runs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from guests import guest, tells_inputs
from moc_server_ext.abc import CallStreams
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import BodyTooLargeError, InvalidInputError
from moc_server_ext.http.streaming import SMALL_BODY_BYTES
from moc_server_ext.model import INPUTS_MAX, CallInput, CallRequest
from raw_calls import begin, chunk, response_of
from support import wait_until

FORM = "multipart/form-data; boundary=xx"
PART = b"--xx\r\n\r\n1\r\n"
END = b"--xx--\r\n"


def part(content: bytes, *headers: str) -> bytes:
    lines = ['Content-Disposition: form-data; name="a"', *headers]
    return b"--xx\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def told(output: bytes) -> list[tuple[bytes, dict[str, str]]]:
    """Read what the guest tells of its inputs."""
    found = re.findall(rb"(.*?)\n(\{[^\n]*\})\n", output, re.DOTALL)
    return [(content, json.loads(headers)) for content, headers in found]


@pytest.fixture
def server(cluster_gateway: Any) -> Any:
    cluster_gateway.platform.functions.put("tell", tells_inputs())
    cluster_gateway.platform.functions.put("nothing", guest("nothing"))
    return cluster_gateway


@pytest.fixture
def remote(server: Any) -> Iterator[HttpPlatform]:
    platform = HttpPlatform(server.url, server.token, str(server.ca_file))
    yield platform
    platform.close()


def ask(server: Any, body: bytes, content_type: str = FORM, **headers: str) -> Any:
    return server.request(
        "POST", "functions/tell/call", content=body, headers={"Content-Type": content_type, **headers}
    )


# -- what arrives -----------------------------------------------------------------------------------------------------


def test_each_part_is_an_input_in_the_order_of_the_body(server):
    response = server.request("POST", "functions/tell/call", files=[("z", b"one"), ("a", b"two"), ("z", b"")])
    assert [content for content, _ in told(response.content)] == [b"one", b"two", b""]


def test_one_part_is_one_input(server):
    assert told(ask(server, part(b"alone") + END).content) == [(b"alone", {})]


def test_what_a_part_says_of_its_bytes_goes_to_its_buffer_and_nothing_else_does(server):
    array = ("Moc-Dtype: uint8", "Moc-Shape: [3]", "Moc-Chunks: [1]", "X-Own: 1")
    body = part(b"abc", *array) + part(b"def", "Content-Type: text/plain; charset=utf-8")
    body += part(b"ghi", "Content-Type: application/octet-stream", "Content-Transfer-Encoding: binary") + END
    assert told(ask(server, body).content) == [
        (b"abc", {"moc-dtype": "uint8", "moc-shape": "[3]"}),
        (b"def", {"content-type": "text/plain; charset=utf-8"}),
        (b"ghi", {}),
    ]


def test_as_many_inputs_as_there_may_be_arrive(server):
    output = ask(server, b"".join(part(b"%d" % each) for each in range(INPUTS_MAX)) + END).content
    assert [content for content, _ in told(output)] == [b"%d" % each for each in range(INPUTS_MAX)]


def test_a_body_that_comes_byte_by_byte_is_the_same(server):
    body = part(b"one\r\n--x", "Content-Type: text/plain") + part(b"two") + END
    with server.connection() as stream:
        begin(server, stream, "tell", f"Content-Type: {FORM}", "Transfer-Encoding: chunked")
        for each in body:
            stream.sendall(chunk(bytes([each])))
        stream.sendall(chunk(b""))
        output = response_of(stream).read()
    assert told(output) == [(b"one\r\n--x", {"content-type": "text/plain"}), (b"two", {})]


def test_a_call_begins_only_when_all_of_its_inputs_are_there(server):
    body = part(bytes(2 * SMALL_BODY_BYTES)) + part(b"two")
    with server.connection() as stream:
        begin(server, stream, "tell", f"Content-Type: {FORM}", f"Content-Length: {len(body + END)}")
        stream.sendall(body)
        # Another request of the same server, answered meanwhile.
        assert server.request("POST", "functions/nothing/call").status_code == 200
        assert [each.function for each in server.platform.calls.list()] == ["nothing"]
        stream.sendall(END)
        assert response_of(stream).status == 200


def test_curl_sends_files_as_inputs(server, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"one")
    (tmp_path / "y").write_bytes(b"two")
    array = 'b=@y;headers="Moc-Dtype: uint8";headers="Moc-Shape: [3]"'
    command = ["curl", "-sS", "--cacert", str(server.ca_file), "-H", f"Authorization: Bearer {server.token}"]
    command += ["-F", "a=@x.txt", "-F", array, f"{server.api}functions/tell/call"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    headers = {"moc-dtype": "uint8", "moc-shape": "[3]"}
    assert told(done.stdout) == [(b"one", {"content-type": "text/plain"}), (b"two", headers)]


def test_the_record_of_a_call_counts_the_bytes_of_all_inputs(server):
    response = server.request("POST", "functions/tell/call", files=[("a", b"one"), ("b", b"four")])
    assert server.platform.calls.get(response.headers["moc-call-id"]).input_bytes == 7


# -- what is refused --------------------------------------------------------------------------------------------------

BAD = {
    "a body without a part": (FORM, END, "has no part"),
    "an empty body": (FORM, b"", "ends before its last boundary"),
    "a body of nothing but newlines": (FORM, b"\r\n\r\n", "ends before its last boundary"),
    "a body that is cut off in a part": (FORM, part(b"one"), "ends before its last boundary"),
    "a body that is cut off in a boundary": (FORM, part(b"one") + b"--xx-", "ends before its last boundary"),
    "a body that is cut off in a header": (FORM, b"--xx\r\nContent-Ty", "ends before its last boundary"),
    "another boundary": (FORM, part(b"one").replace(b"xx", b"yy") + b"--yy--\r\n", "cannot be read"),
    "no multipart at all": (FORM, b"just bytes", "cannot be read"),
    "no boundary": ("multipart/form-data", PART + END, "names no boundary"),
    "a boundary that is too long": (f"multipart/form-data; boundary={'x' * 71}", PART + END, "names no boundary"),
    "a boundary that cannot be one": ("multipart/form-data; boundary=\"x\ty\"", PART + END, "names no boundary"),
    "another kind of multipart": ("multipart/mixed; boundary=xx", PART + END, "'multipart/mixed' is not taken"),
    "too many parts": (FORM, PART * (INPUTS_MAX + 1) + END, "at most 64 inputs; found 65"),
    "a boundary in every line": (FORM, b"--xx\r\n\r\n" + 200 * b"\r\n--xxy", "boundary more than 128 times"),
    "spaces behind a boundary": (FORM, part(b"one") + b"--xx" + b" " * 70_000, "spaces follow a boundary"),
    "too many headers": (FORM, part(b"", *(f"X-{each}: 1" for each in range(40))) + END, "cannot be read"),
    "a header that is too long": (FORM, part(b"", "X: " + "x" * 9000) + END, "cannot be read"),
    "a header without a name": (FORM, part(b"", ": x") + END, "cannot be read"),
    "a header without an end": (FORM, b"--xx\r\n" + b"x" * 60_000, "cannot be read"),
    "a type that is none": (FORM, part(b"", "Content-Type: none") + END, "is no media type"),
    "two types": (FORM, part(b"", "Content-Type: a/b", "content-type: a/c") + END, "Part 1 .* Content-Type twice"),
    "an encoded part": (FORM, PART + part(b"", "Content-Transfer-Encoding: base64") + END, "Part 2 .* 'base64'"),
    "a compressed part": (FORM, part(b"", "Content-Encoding: gzip") + END, "Part 1 .* 'gzip'"),
    "a data type without a shape": (FORM, part(b"1", "Moc-Dtype: uint8") + END, "found none named Moc-Shape"),
    "an array of another size": (
        FORM,
        PART + part(b"abc", "Moc-Dtype: uint8", "Moc-Shape: [2]") + END,
        "has 2 bytes; input 1 has 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(("content_type", "body", "said"), BAD.values(), ids=BAD)
def test_of_a_body_that_is_no_form_nothing_runs(server, content_type, body, said, chunked):
    response = ask(server, iter([body]) if chunked else body, content_type)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_input")
    assert re.search(said, error["message"]), error["message"]
    assert server.platform.calls.list() == []


def test_the_request_itself_cannot_say_what_array_an_input_of_several_is(server):
    response = ask(server, PART + END, **{"Moc-Dtype": "uint8", "Moc-Shape": "[1]"})
    assert response.status_code == 400
    assert "headers of the part" in response.json()["error"]["message"]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_inputs_that_are_too_large_together_are_refused_and_nothing_runs(server, chunked):
    body = part(bytes(600_000)) + part(bytes(600_000)) + END
    response = ask(server, iter([body[:700_000], body[700_000:]]) if chunked else body)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert server.platform.calls.list() == []


def test_a_wrong_body_is_answered_before_its_end(server):
    with server.connection() as stream:
        begin(server, stream, "tell", f"Content-Type: {FORM}", "Transfer-Encoding: chunked")
        stream.sendall(chunk(b"no form"))
        response = response_of(stream)
        assert response.status == 400
        assert b"cannot be read" in response.read()


def test_a_client_that_goes_away_in_the_middle_runs_nothing(server):
    with server.connection() as stream:
        begin(server, stream, "tell", f"Content-Type: {FORM}", "Content-Length: 100000")
        stream.sendall(part(b"one"))
    assert ask(server, part(b"two") + END).status_code == 200
    assert [each.function for each in server.platform.calls.list()] == ["tell"]


def test_a_client_that_falls_silent_in_the_middle_is_let_go(served):
    with served(silent_seconds=0.2) as server, server.connection() as stream:
        begin(server, stream, "up", f"Content-Type: {FORM}", "Content-Length: 100000")
        stream.sendall(part(b"one"))
        stream.settimeout(60)
        assert stream.recv(1) == b""


# -- from the client --------------------------------------------------------------------------------------------------


def request(*contents: bytes, **more: Any) -> CallRequest:
    first, *rest = contents
    return CallRequest("tell", input=first, more_inputs=tuple(map(CallInput, rest)), **more)


def test_the_client_sends_several_inputs_with_their_headers(remote):
    array = {"moc-dtype": "uint8", "moc-shape": "[3]"}
    more = (CallInput(b"def", array), CallInput(memoryview(b"--xx--\r\n")), CallInput(b"", {"content-type": "text/x"}))
    result = remote.call_sync(CallRequest("tell", input=b"abc", input_headers=array, more_inputs=more))
    assert result.output.startswith(b"abc\n")
    assert [json.loads(line) for line in result.output.split(b"\n") if line.startswith(b"{")] == [
        array, array, {}, {"content-type": "text/x"}
    ]  # fmt: skip
    assert b"\n--xx--\r\n\n" in result.output


def test_a_stream_goes_in_front_of_the_other_inputs(remote):
    source = iter([b"fir", b"st"])
    result = remote.call_sync(request(b"", b"second", b"x" * 700_000), CallStreams(source=source))
    assert [content for content, _ in told(result.output)] == [b"first", b"second", b"x" * 700_000]


def test_the_client_is_told_when_its_inputs_are_too_large(remote, server):
    with pytest.raises(BodyTooLargeError):
        remote.call_sync(request(b"", bytes(2 << 20)))
    assert server.platform.calls.list() == []


def test_a_header_that_would_end_the_head_of_a_part_is_never_sent(remote, server):
    more = (CallInput(b"", {"content-type": "a/b\r\nMoc-Dtype: uint8"}),)
    with pytest.raises(InvalidInputError, match="cannot be sent"):
        remote.call_sync(CallRequest("tell", more_inputs=more))
    assert server.platform.calls.list() == []


def test_a_call_through_a_server_gives_what_it_gives_in_the_process_of_the_cluster(remote, server):
    asked = CallRequest("tell", input=b"1", more_inputs=(CallInput(b"2", {"content-type": "text/x"}), CallInput(b"3")))
    assert remote.call_sync(asked).output == server.platform.call_sync(asked).output
    wait_until(lambda: [each.input_bytes for each in server.platform.calls.list()] == [3, 3])

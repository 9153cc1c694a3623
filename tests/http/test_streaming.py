"""Input and output of a call pass while it runs: what leaves, when, and how much of it is held."""

from __future__ import annotations

import base64
import json
import random
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import pytest

from guests import guest
from moc_server_ext.frames import CONTENT_TYPE, Decoder, Frame
from raw_calls import begin, chunk, response_of

PIECE = bytes(range(256)) * 256


def read_exactly(response: HTTPResponse, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = response.read1(count - len(found))
        assert part, f"ended after {len(found)} bytes"
        found += part
    return found


def frames_in(body: bytes) -> list[tuple[Frame, bytes]]:
    return list(Decoder().feed(body))


def put(gateway: Any, *names: str) -> None:
    for name in names:
        gateway.platform.functions.put(name, guest(name))


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000, 1 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_any_size_comes_back_byte_for_byte(cluster_gateway, size, chunked):
    put(cluster_gateway, "cat")
    body = random.Random(size).randbytes(size)
    content = (body[start : start + 10_000] for start in range(0, size, 10_000)) if chunked else body
    response = cluster_gateway.request("POST", "functions/cat/call", content=content)
    assert (response.status_code, response.content) == (200, body)
    assert len(response.headers["moc-call-id"]) == 16
    # All of the result is in the headers if the output is short, and only the id if it had to leave before the end.
    facts = {"moc-duration-us", "moc-exit-code"} & set(response.headers)
    assert facts == ({"moc-duration-us", "moc-exit-code"} if size <= 65_536 else set())
    assert ("content-length" in response.headers) == (size <= 65_536)


@pytest.mark.parametrize("size", [0, 5, 65_536, 300_000])
def test_json_has_all_of_the_result_for_any_size(cluster_gateway, size):
    put(cluster_gateway, "cat")
    body = random.Random(size).randbytes(size)
    answer = cluster_gateway.request(
        "POST", "functions/cat/call", content=body, headers={"Accept": "application/json"}
    ).json()
    assert base64.b64decode(answer["output"]) == body
    assert answer["exit_code"] == 0


@pytest.mark.parametrize("size", [0, 5, 65_536, 300_000])
def test_frames_have_output_stderr_and_the_result(cluster_gateway, size):
    put(cluster_gateway, "cat", "complain")
    body = random.Random(size).randbytes(size)
    for name, kind in (("cat", Frame.OUTPUT), ("complain", Frame.STDERR)):
        response = cluster_gateway.request(
            "POST", f"functions/{name}/call", content=body, headers={"Accept": CONTENT_TYPE}
        )
        assert response.headers["content-type"] == CONTENT_TYPE
        (first, began), *parts, (last, result) = frames_in(response.content)
        assert (first, last) == (Frame.BEGIN, Frame.RESULT)
        assert b"".join(part for found, part in parts if found is kind) == body
        assert {found for found, _ in parts} <= {kind}
        assert json.loads(result)["exit_code"] == 0
        assert json.loads(result)["call_id"] == json.loads(began)["call_id"]
        assert not {"output", "stderr"} & json.loads(result).keys()


def test_output_arrives_long_before_the_upload_has_ended(cluster_gateway):
    put(cluster_gateway, "cat")
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "cat", "Transfer-Encoding: chunked")
        stream.sendall(chunk(PIECE) + chunk(PIECE))
        response = response_of(stream)
        assert response.status == 200
        assert response.headers["moc-call-id"]
        assert read_exactly(response, 2 * len(PIECE)) == PIECE + PIECE
        for _ in range(3):
            stream.sendall(chunk(PIECE))
            assert read_exactly(response, len(PIECE)) == PIECE
        stream.sendall(b"0\r\n\r\n")
        assert response.read() == b""


def test_frames_arrive_while_the_guest_waits_for_more(cluster_gateway):
    put(cluster_gateway, "cat")
    decoder = Decoder()
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "cat", "Transfer-Encoding: chunked", f"Accept: {CONTENT_TYPE}")
        stream.sendall(chunk(b"a"))
        response = response_of(stream)
        seen: list[tuple[Frame, bytes]] = []
        while len(seen) < 2:
            seen += decoder.feed(response.read1())
        assert [kind for kind, _ in seen] == [Frame.BEGIN, Frame.OUTPUT]
        stream.sendall(chunk(b"bc"))
        while len(seen) < 3:
            seen += decoder.feed(response.read1())
        assert seen[2] == (Frame.OUTPUT, b"bc")
        stream.sendall(b"0\r\n\r\n")
        seen += decoder.feed(response.read())
        assert seen[-1][0] is Frame.RESULT


def test_stderr_arrives_as_exact_bytes_while_the_guest_waits(cluster_gateway):
    put(cluster_gateway, "pause")
    decoder = Decoder()
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "pause", "Content-Length: 3", f"Accept: {CONTENT_TYPE}")
        stream.sendall(b"\xff\0x")
        response = response_of(stream)
        seen: dict[Frame, bytes] = {}
        while len(seen) < 3:
            seen.update(decoder.feed(response.read1()))
        assert seen[Frame.OUTPUT] == seen[Frame.STDERR] == b"\xff\0x"


def test_a_guest_that_ends_without_reading_answers_while_the_client_still_sends(cluster_gateway):
    put(cluster_gateway, "nothing", "trap")
    for name, status in (("nothing", 200), ("trap", 422)):
        with cluster_gateway.connection() as stream:
            begin(cluster_gateway, stream, name, "Content-Length: 1000000")
            stream.sendall(PIECE)
            response = response_of(stream)
            assert response.status == status
            response.read()
            # The rest may still be sent, and the connection serves the next request.
            stream.sendall(bytes(1_000_000 - len(PIECE)))
            begin(cluster_gateway, stream, name, "Content-Length: 0")
            assert response_of(stream).status == status


def test_a_failure_after_the_answer_has_begun_cuts_the_connection(cluster_gateway):
    put(cluster_gateway, "collapse")
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "collapse", "Content-Length: 0")
        response = response_of(stream)
        assert response.status == 200
        with pytest.raises((IncompleteRead, ConnectionError)):
            response.read()


def test_a_failure_after_the_first_frame_is_the_last_frame(cluster_gateway):
    put(cluster_gateway, "collapse")
    response = cluster_gateway.request("POST", "functions/collapse/call", headers={"Accept": CONTENT_TYPE})
    assert response.status_code == 200
    kinds = [kind for kind, _ in frames_in(response.content)]
    error = json.loads(frames_in(response.content)[-1][1])
    assert (kinds[0], kinds[-1]) == (Frame.BEGIN, Frame.ERROR)
    assert error["code"] == "guest_trap"


def test_json_refuses_more_output_than_a_body_may_have_and_names_the_way_out(cluster_gateway):
    put(cluster_gateway, "flood")
    response = cluster_gateway.request("POST", "functions/flood/call", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "answer_too_large")
    assert CONTENT_TYPE in response.json()["error"]["message"]


def test_a_chunked_body_beyond_the_limit_ends_its_call_with_413(cluster_gateway):
    put(cluster_gateway, "swallow")
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "swallow", "Transfer-Encoding: chunked")
        for _ in range(17):
            stream.sendall(chunk(PIECE))
        response = response_of(stream)
        assert response.status == 413
        assert json.loads(response.read())["error"]["code"] == "body_too_large"


def test_an_announced_body_beyond_the_limit_is_413_before_it_is_sent(cluster_gateway):
    put(cluster_gateway, "swallow")
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "swallow", f"Content-Length: {1 << 40}")
        assert response_of(stream).status == 413


def test_a_function_that_is_not_there_is_told_before_the_body_has_come(cluster_gateway):
    with cluster_gateway.connection() as stream:
        begin(cluster_gateway, stream, "nobody", "Transfer-Encoding: chunked")
        stream.sendall(chunk(b"x"))
        assert response_of(stream).status == 404


def test_the_client_name_is_part_of_who_calls_and_is_checked(gateway):
    seen = []

    def call(request):
        seen.append(request.caller)
        return gateway.platform.uppercase(request)

    gateway.platform.on_call = call
    for name in ("a", "notebook-7", "~" * 64):
        assert gateway.request("POST", "functions/f/call", headers={"Moc-Client": name}).status_code == 200
    assert seen == ["token/a", "token/notebook-7", "token/" + "~" * 64]
    for name in ("", "a b", "x" * 65, "\xe9"):
        response = gateway.request("POST", "functions/f/call", headers={"Moc-Client": name.encode("latin-1")})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")

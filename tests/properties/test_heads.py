"""Heads of requests: whatever comes, the gateway reads or refuses what tornado does."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPInputError

from moc_server_ext.http.heads import parse_head

PIECES = st.sampled_from(
    [
        *("POST /x HTTP/1.1", "Host", "a", ":", ": ", "\r\n", "\n", "\r", " ", "\t", "\0", "\x0b", "\x7f", "\x85", "é"),
        *(
            "Content-Length: 3\r\n",
            "content-length: 4\r\n",
            "Transfer-Encoding: chunked\r\n",
            "A:\t b \r\n",
            " folded\r\n",
        ),
    ]
)
ENDS = st.sampled_from(["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"])


def read(parse, head: bytes) -> tuple[str, list[tuple[str, str]], dict[str, str]] | None:
    try:
        line, headers = parse(head)
    except HTTPInputError:
        return None
    assert isinstance(headers, HTTPHeaders)
    return line, list(headers.get_all()), dict(headers)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), ENDS)
@example("POST /x HTTP/1.1\r\nHost: a\r\nA: b", "\r\n\r\n")
@example("\r\nPOST /x HTTP/1.1\r\nHost: a", "\r\n\r\n")
@example("\rPOST /x HTTP/1.1\r\nHost: a", "\r\n\r\n")
@example("POST /x HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 4", "\r\n\r\n")
@example("POST /x HTTP/1.1\r\nA: b\nTransfer-Encoding: chunked", "\r\n\r\n")
def test_every_head_is_read_or_refused_as_tornado_does(text, end):
    head = (text + end).encode("latin-1")
    assert read(parse_head, head) == read(lambda each: HTTP1Connection._parse_headers(None, each), head)


def test_a_name_in_any_case_is_found_and_a_missing_one_gives_the_default():
    _, headers = parse_head(b"GET / HTTP/1.1\r\nMoc-Client: a\r\n\r\n")
    assert headers.get("moc-client") == "a"
    assert headers.get("Accept") is None
    assert headers.get("accept", "x") == "x"

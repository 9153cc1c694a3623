"""URLs that pass are read alike by everybody, and each has one form."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moc_server_ext.egress.urls import parse_url
from moc_server_ext.errors import InvalidUrlError

PIECES = [
    *("http", "https", ":", "/", "//", "a", "b.example", "@", "#", "?", "\\", "%", "%2e", "[", "]", "::1", ".", ".."),
    *("127", "0x7f", "0177", "1", "80", "65536", "\t", "\r\n", " ", "\0", "ü", "。", "①", "&", ";", "=", "-", "_", "*"),
]
BUILT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
URLS = (
    BUILT
    | BUILT.map("http://".__add__)
    | BUILT.map("https://b.example".__add__)
    | st.text(max_size=30).map("http://".__add__)
)


@settings(deadline=None, max_examples=400)
@given(URLS)
@example("http://b.example:80@127.0.0.1/")
@example("http://127.0.0.1#@b.example/")
@example("http://b.example\\@127.0.0.1/")
@example("http://[::1]:80/?a=[b]#c")
@example("http://ｂ.example/")
def test_what_passes_has_one_form_that_other_parsers_read_alike(text):
    try:
        url = parse_url(text)
    except InvalidUrlError:
        return
    written = str(url)
    assert parse_url(written) == url
    assert written.isascii()
    assert written.isprintable()
    split = urlsplit(written)
    assert (split.scheme, split.hostname, split.port or url.port) == (url.scheme, url.host, url.port)
    assert split.username is split.password is None
    other = httpx.URL(written)
    assert (other.scheme, other.raw_host.decode(), other.port or url.port) == (url.scheme, url.host, url.port)
    # And the host was the one that the text itself showed to a reader of RFC 3986.
    shown = urlsplit(text).hostname or ""
    if shown.isascii():
        assert shown.rstrip(".") == url.host or url.address is not None


@settings(deadline=None, max_examples=200)
@given(BUILT)
def test_a_redirect_leads_to_a_url_that_passes_or_nowhere(location):
    base = parse_url("https://b.example/a/b?c")
    try:
        url = base.joined(location)
    except InvalidUrlError:
        return
    assert parse_url(str(url)) == url

"""Pages of bytes: what hostile, broken and ordinary bytes look like in a notebook."""

from __future__ import annotations

import base64
import html.parser
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_widgets.page import BUNDLE_BYTES, PAGE_BYTES, first_page

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def png(width: int = 1, height: int = 1) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


class Elements(html.parser.HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def size_of(bundle: dict[str, str]) -> int:
    return sum(len(each.encode()) for each in bundle.values())


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "image/svg+xml", "application/javascript", ""])
def test_a_script_in_the_bytes_never_becomes_an_element(content_type: str) -> None:
    content = b"</pre></figure></script><script>alert(1)</script><img src=x onerror=alert(1)>"
    page = first_page(content, content_type=content_type)["text/html"]
    assert set(Elements(page).tags) == {"figure", "figcaption", "pre"}
    assert "&lt;script&gt;" in page


def test_a_script_in_the_title_or_the_content_type_never_becomes_an_element() -> None:
    evil = '"><script>alert(1)</script>'
    page = first_page(b"abc", title=evil, content_type=evil)["text/html"]
    assert set(Elements(page).tags) == {"figure", "figcaption", "pre"}
    assert {name for name, _ in Elements(page).attributes} == {"role", "aria-label", "style", "tabindex", "dir"}


def test_an_svg_is_shown_only_as_the_source_of_an_image() -> None:
    page = first_page(SVG, content_type="image/svg+xml")["text/html"]
    assert "<svg" not in page
    assert "<script" not in page
    assert f'<img src="data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}"' in page


@pytest.mark.parametrize("content", [SVG, b"<svg><!ENTITY a 'b'></svg>"])
def test_an_svg_that_nobody_declared_or_that_defines_entities_is_text(content: bytes) -> None:
    declared = "" if content is SVG else "image/svg+xml"
    assert "<img" not in first_page(content, content_type=declared)["text/html"]


def test_a_png_is_an_image_whatever_it_was_declared() -> None:
    bundle = first_page(png(), title="buffer 'dot'", content_type="application/octet-stream")
    assert "data:image/png;base64," in bundle["text/html"]
    assert bundle["text/plain"] == f"buffer 'dot': {len(png())} bytes, image/png"


@pytest.mark.parametrize("content", [b"\x89", b"\x89PNG\r\n\x1a\n", png(60_000, 60_000), png()[:20], b"\xff\xd8\xff"])
def test_what_only_claims_to_be_an_image_is_shown_as_hex(content: bytes) -> None:
    bundle = first_page(content, content_type="image/png")
    assert "<img" not in bundle["text/html"]
    assert f"00000000  {content[:8].hex(' ')}" in bundle["text/plain"]


def test_an_image_that_is_too_large_for_a_page_is_shown_as_hex() -> None:
    content = png() + bytes(PAGE_BYTES)
    bundle = first_page(content[:PAGE_BYTES], size=len(content), content_type="image/png")
    assert "<img" not in bundle["text/html"]
    assert f"The first 512 of {len(content):,} bytes." in bundle["text/html"]


def test_invalid_utf8_is_shown_as_hex_with_offset_bytes_and_ascii() -> None:
    text = first_page(b"caf\xe9 au lait, s'il vous", title="buffer 'x'", content_type="text/plain")["text/plain"]
    assert text.splitlines() == [
        "buffer 'x': 23 bytes, text/plain",
        "00000000  63 61 66 e9 20 61 75 20  6c 61 69 74 2c 20 73 27  caf. au lait, s'",
        "00000010  69 6c 20 76 6f 75 73                              il vous",
    ]


def test_text_that_is_cut_within_a_character_is_still_text() -> None:
    content = "é".encode() * 5000
    bundle = first_page(content[:4095], size=len(content))
    assert bundle["text/plain"].splitlines()[1] == "é" * 2047
    assert "The first 4,094 of 10,000 bytes." in bundle["text/plain"]


def test_characters_that_hide_or_reorder_text_are_written_as_escapes() -> None:
    page = first_page("pay \u202e100\u2066 \x1b[31mred".encode())["text/html"]
    assert "pay \\u202e100\\u2066 \\x1b[31mred" in page


def test_many_lines_are_cut_and_the_note_says_how_much_is_shown() -> None:
    content = b"".join(b"%03d\n" % each for each in range(100))
    text = first_page(content)["text/plain"]
    assert "039" in text
    assert "040" not in text
    assert text.endswith("The first 159 of 400 bytes.")


def test_a_text_with_crlf_lines_that_is_shown_whole_says_nothing_about_a_first_part() -> None:
    assert "The first" not in first_page(b"a\r\nb\r\n")["text/plain"]


def test_no_bytes_give_a_caption_alone() -> None:
    bundle = first_page(b"", title="buffer 'empty'", content_type="text/plain")
    assert bundle["text/plain"] == "buffer 'empty': 0 bytes, text/plain"
    assert "<pre" not in bundle["text/html"]


def test_a_page_has_labels_and_reads_its_colours_from_the_theme() -> None:
    page = first_page(b"abc", title="buffer 'n'")["text/html"]
    attributes = Elements(page).attributes
    assert ("role", "group") in attributes
    assert ("aria-label", "buffer 'n': 3 bytes") in attributes
    assert "var(--jp-ui-font-color1,inherit)" in page
    assert "var(--jp-layout-color1,transparent)" in page


@given(
    content=st.binary(max_size=2000) | st.text(max_size=600).map(lambda text: text.encode("utf-8", "surrogatepass")),
    repeat=st.integers(1, 40),
    content_type=st.sampled_from(["", "image/png", "image/svg+xml", "text/html", "text/plain; charset=x"]),
    title=st.text(max_size=200),
)
def test_every_page_is_small_deterministic_and_made_of_known_elements(
    content: bytes, repeat: int, content_type: str, title: str
) -> None:
    content *= repeat
    bundle = first_page(content, content_type=content_type, title=title)
    assert bundle == first_page(content, content_type=content_type, title=title)
    assert size_of(bundle) <= BUNDLE_BYTES
    assert set(Elements(bundle["text/html"]).tags) <= {"figure", "figcaption", "pre", "img", "div"}
    bundle["text/html"].encode()
    bundle["text/plain"].encode()


@pytest.mark.parametrize("fill", [b"&", b"\x1b", b"\xc2\x85", "\u202e".encode(), b"\0", "\U000e0001".encode(), b"<\n"])
def test_the_worst_bytes_still_make_a_page_of_64_kib(fill: bytes) -> None:
    content = fill * (PAGE_BYTES // len(fill))
    assert size_of(first_page(content, title="&" * 500, content_type="&" * 500)) <= BUNDLE_BYTES


def test_the_largest_image_still_makes_a_page_of_64_kib() -> None:
    content = png() + bytes(PAGE_BYTES - len(png()))
    bundle = first_page(content, content_type="image/png", title="&" * 500)
    assert "<img" in bundle["text/html"]
    assert size_of(bundle) <= BUNDLE_BYTES

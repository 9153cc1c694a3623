"""The first page of some bytes, as static HTML and as plain text: an image, text or hex.

The same bytes give the same page: no ids, times or addresses, so that a notebook's saved output can be compared. A page
is at most 64 KiB in all, works without JavaScript, and follows JupyterLab's theme through its CSS variables. Everything
that comes from the bytes or their name is escaped; SVG appears only as the source of an ``<img>``, where a browser runs
no scripts and loads nothing.

Who reads the bytes from where is the caller's affair: it reads the first :data:`PAGE_BYTES` and tells the whole size.
"""

from __future__ import annotations

import base64
import html
from typing import Final

from .sniff import decode_text, image_type, media_type

PAGE_BYTES: Final = 32 << 10
"""How many bytes a page can make use of. A larger image is not shown as one, since base64 makes 4 bytes of 3."""

BUNDLE_BYTES: Final = 64 << 10
"""What a page takes at most, HTML and plain text together, in UTF-8."""

_HEX_BYTES: Final = 512
_TEXT_BYTES: Final = 4096
_TEXT_LINES: Final = 40
_TITLE_CHARACTERS: Final = 120
_JOINERS: Final = "\u200c\u200d"

_FIGURE_STYLE: Final = "margin:0;color:var(--jp-ui-font-color1,inherit)"
_CAPTION_STYLE: Final = "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color2,inherit)"
_PRE_STYLE: Final = (
    "margin:4px 0;padding:8px;max-height:24em;overflow:auto;"
    "border:1px solid var(--jp-border-color2,#8886);border-radius:var(--jp-border-radius,2px);"
    "background:var(--jp-layout-color1,transparent);color:var(--jp-content-font-color1,inherit);"
    "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px);line-height:1.4;"
)
_IMAGE_STYLE: Final = (
    "display:block;margin:4px 0;max-width:100%;max-height:480px;background:var(--jp-layout-color1,transparent)"
)


def first_page(content: bytes, *, size: int | None = None, content_type: str = "", title: str = "") -> dict[str, str]:
    """Show the beginning of some bytes as a MIME bundle of ``text/html`` and ``text/plain``.

    Parameters
    ----------
    content
        The first bytes: :data:`PAGE_BYTES` of them or, if there are fewer, all.
    size
        How many bytes there are in all; by default those of `content`.
    content_type
        What they were declared to be; believed only where the bytes agree.
    title
        What stands before size and type in the caption: ``buffer 'counts'``.
    """
    size = len(content) if size is None else size
    page, whole = content[:PAGE_BYTES], size <= min(len(content), PAGE_BYTES)
    kind = image_type(page, content_type) if whole else None
    text = decode_text(page[:_TEXT_BYTES], whole=whole and len(page) <= _TEXT_BYTES)
    if kind is not None:
        return _image(page, kind, format_caption(title, size, kind))
    caption = format_caption(title, size, media_type(content_type))
    if text is not None:
        return _text(text, size, caption)
    return _hex(page[:_HEX_BYTES], size, caption)


def hex_lines(content: bytes) -> list[str]:
    """Write bytes as hex: offset, 16 bytes, and what of them is printable ASCII."""
    lines = []
    for offset in range(0, len(content), 16):
        row = content[offset : offset + 16]
        octets = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}".rstrip()
        shown = "".join(chr(each) if 32 <= each < 127 else "." for each in row)
        lines.append(f"{offset:08x}  {octets:<48}  {shown}")
    return lines


def printable(text: str, *, keep: str = "\n\t") -> str:
    """Write as escapes what would not be seen, or would change how the rest is seen (such as a right-to-left mark)."""
    return "".join(
        each
        if each.isprintable() or each in keep or each in _JOINERS
        else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )


def format_caption(title: str, size: int, content_type: str) -> str:
    """Write what stands above a page: what it is of, how many bytes, and of which kind."""
    kind = _shortened(content_type)
    facts = f"{size:,} byte{'' if size == 1 else 's'}" + (f", {kind}" if kind else "")
    return f"{_shortened(title)}: {facts}" if title else facts


def _shortened(text: str) -> str:
    # Titles and content types come from outside, and escapes can make ten characters of one.
    short = text if len(text) <= _TITLE_CHARACTERS else text[: _TITLE_CHARACTERS - 1] + "…"
    return printable(short, keep="")


def figure(caption: str, body: str, note: str = "") -> str:
    """Put `body`, which is HTML, below its caption and above a note, which are text."""
    foot = f'<div style="{_CAPTION_STYLE}">{html.escape(note)}</div>' if note else ""
    return (
        f'<figure role="group" aria-label="{html.escape(caption)}" style="{_FIGURE_STYLE}">'
        f'<figcaption style="{_CAPTION_STYLE}">{html.escape(caption)}</figcaption>{body}{foot}</figure>'
    )


def preformatted(text: str, label: str, wrap: str) -> str:
    """Show text as it is, in a box that scrolls; `wrap` is CSS about its lines."""
    # A region that scrolls is reachable by keyboard only with a tabindex, and then needs a role and a label.
    return (
        f'<pre tabindex="0" role="region" aria-label="{label}" dir="ltr" style="{_PRE_STYLE}{wrap}">'
        f"{html.escape(text, quote=False)}</pre>"
    )


def _image(content: bytes, kind: str, caption: str) -> dict[str, str]:
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    image = f'<img src="{source}" alt="{html.escape(caption)}" style="{_IMAGE_STYLE}">'
    return {"text/html": figure(caption, image), "text/plain": caption}


def _text(text: str, size: int, caption: str) -> dict[str, str]:
    unix = text.replace("\r\n", "\n")
    lines = unix.split("\n")[:_TEXT_LINES]
    shown = printable("\n".join(lines))
    used = len("\n".join(text.split("\n")[:_TEXT_LINES]).encode())
    note = f"The first {used:,} of {size:,} bytes." if used < size else ""
    body = preformatted(shown, "Contents as text", "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext")
    return {"text/html": figure(caption, body if size else "", note), "text/plain": _plain(caption, shown, note)}


def _hex(content: bytes, size: int, caption: str) -> dict[str, str]:
    shown = "\n".join(hex_lines(content))
    note = f"The first {len(content):,} of {size:,} bytes." if len(content) < size else ""
    body = preformatted(shown, "Contents as hexadecimal bytes", "white-space:pre")
    return {"text/html": figure(caption, body, note), "text/plain": _plain(caption, shown, note)}


def _plain(caption: str, shown: str, note: str) -> str:
    return "\n".join(part for part in (caption, shown.rstrip("\n"), note) if part)

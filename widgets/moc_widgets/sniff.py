"""Tell from a declared content type and from the bytes themselves how bytes can be shown: as an image, text or hex.

Owns the judgement, not the rendering (:mod:`moc_widgets.page`). The bytes are hostile: a declared type is believed only
when the bytes agree.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
SVG: Final = "image/svg+xml"

MAX_PIXELS: Final = 1 << 24
"""More pixels than this are not handed to a browser: a PNG of 30 KB can unpack to a gigabyte."""

# Beside line breaks and tabs: backspace, form feed and escape, which text for terminals is written with.
_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\b\f\x1b")
_CONTROLS: Final = bytes(each for each in range(32) if each not in _TEXT_CONTROLS) + b"\x7f"
_SVG_START: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^>\[]*>\s*)*<svg[\s>]", re.DOTALL)


def image_type(content: bytes, declared: str = "") -> str | None:
    """Give the content type of a whole image that a browser may show, else None.

    Parameters
    ----------
    content
        All bytes of the image: half an image is none.
    declared
        The content type that came with it. SVG is text as well, so it is an image only when it is declared as one.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR" and len(content) >= 33:
        width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
        return PNG if 0 < width * height <= MAX_PIXELS else None
    if content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9"):
        return JPEG
    if media_type(declared) == SVG and _SVG_START.match(content) and b"<!ENTITY" not in content:
        return SVG
    return None


def media_type(declared: str) -> str:
    """Give a content type without its parameters, in lower case."""
    return declared.partition(";")[0].strip().lower()


def decode_text(content: bytes, *, whole: bool = True) -> str | None:
    """Decode `content` when it is text: UTF-8 without control characters that no text has; else None.

    Parameters
    ----------
    whole
        False when `content` was cut off somewhere, perhaps within a character, which is then left out.
    """
    return TextDecoder().decode(content, final=whole)


class TextDecoder:
    """Decodes parts of text as they come, for as long as they are what :func:`decode_text` takes for text."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def decode(self, part: bytes, *, final: bool = False) -> str | None:
        """Give the text of `part`, less a character that is cut off at its end; None when it is no text."""
        if len(part.translate(None, _CONTROLS)) != len(part):
            return None
        try:
            return self._decoder.decode(part, final=final)
        except UnicodeDecodeError:
            return None

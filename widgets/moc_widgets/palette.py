"""The colours of heat maps: one table of 256, from dark blue over green to a light yellow.

Lightness grows evenly and the hue turns evenly in OKLab, where equal distances look equal; the table therefore keeps
its order in greyscale, and for those who see no red or no green. Its ends stand off from both a white and a black page.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

_DARK, _LIGHT = 0.30, 0.93
_HUE_FIRST, _HUE_LAST = 285.0, 100.0
_CHROMA: Final = 0.115


@cache
def palette() -> bytes:
    """Give red, green and blue of the 256 colours, in one run of 768 bytes."""
    return bytes(channel for step in range(256) for channel in _colour(step / 255))


def _colour(share: float) -> tuple[int, int, int]:
    lightness = _DARK + (_LIGHT - _DARK) * share
    hue = math.radians(_HUE_FIRST + (_HUE_LAST - _HUE_FIRST) * share)
    # Less colour at the dark end, where a screen has less of it to give.
    chroma = _CHROMA * (0.75 + 0.5 * share) * (1 - 0.25 * share)
    return _srgb(lightness, chroma * math.cos(hue), chroma * math.sin(hue))


def _srgb(lightness: float, a: float, b: float) -> tuple[int, int, int]:
    """Convert from OKLab; the constants are those of its definition."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _channel(4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short),
        _channel(-1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short),
        _channel(-0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short),
    )


def _channel(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    curved = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * curved)

"""Who may pass each door, in the words of OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from ..messages import Door

_BEARER: Final = {"type": "http", "scheme": "bearer"}

SECURITY_SCHEMES: Final[Mapping[Door, Mapping[str, Any]]] = {
    Door.GATEWAY: {
        "bearer": {
            **_BEARER,
            "description": "The token of the storage directory. `Authorization: token TOKEN` is taken too.",
        },
    },
    Door.JUPYTER: {
        "bearer": {**_BEARER, "description": "Jupyter's token. `Authorization: token TOKEN` is taken too."},
        "token": {"type": "apiKey", "in": "query", "name": "token", "description": "Jupyter's token."},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "username-HOST-PORT",
            "description": "Jupyter's cookie of a person who has logged in, named after the server's address.",
        },
        "xsrf": {
            "type": "apiKey",
            "in": "header",
            "name": "X-XSRFToken",
            "description": "The value of Jupyter's cookie `_xsrf`, which must come with it.",
        },
    },
}

# Every request may be refused with these; only Jupyter knows callers who may read and not write.
CHALLENGED_BY: Final[Mapping[Door, frozenset[int]]] = {
    Door.GATEWAY: frozenset({401}),
    Door.JUPYTER: frozenset({401, 403}),
}


def security_of(door: Door, action: Literal["read", "write"]) -> list[dict[str, list[str]]]:
    """Give the alternatives of which a request must satisfy one."""
    if door is Door.GATEWAY:
        return [{"bearer": []}]
    cookie: dict[str, list[str]] = {"cookie": []} if action == "read" else {"cookie": [], "xsrf": []}
    return [{"bearer": []}, {"token": []}, cookie]

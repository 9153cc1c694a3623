"""The storage's token: made at the first opening, kept in files that only their user reads.

``authorization.header`` holds the whole header, so that ``curl -H @FILE`` needs no token in the process list. Who is
let in by the token is decided by those who listen.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..errors import CorruptStorageError
from .files import FILE_MODE, failures, replace_file

TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
AUTHORIZATION_FILE: Final = "authorization.header"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


def ensure_token(path: Path) -> str:
    """Read the token of the storage directory `path`, or make one; both files are then there and 0600.

    Raises
    ------
    CorruptStorageError
        The token file holds no token (a person may have put one there: 16 to 512 characters of RFC 6750's set).
    StorageFullError, ReadOnlyStorageError, StorageError
        The files cannot be written.
    """
    token_file, authorization_file = path / TOKEN_FILE, path / AUTHORIZATION_FILE
    with failures("the token", path):
        try:
            text = token_file.read_bytes().decode("ascii", errors="replace").strip()
        except FileNotFoundError:
            text = secrets.token_urlsafe(32)
            replace_file(token_file, f"{text}\n".encode())
        if not _TOKEN.fullmatch(text):
            raise CorruptStorageError(
                f"the token in {str(token_file)!r}",
                "it is not 16 to 512 letters, digits or any of ._~+/=- (a removed file is made anew)",
            )
        header = f"Authorization: Bearer {text}\n".encode()
        if not authorization_file.exists() or authorization_file.read_bytes() != header:
            replace_file(authorization_file, header)
        for file in (token_file, authorization_file):
            # Copying a storage directory can widen them.
            if file.stat().st_mode & 0o777 != FILE_MODE:
                file.chmod(FILE_MODE)
    return text


def token_digest(token: str) -> str:
    """Give the SHA-256 of a token, in hex: what is kept of tokens where the token itself need not be."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(shown: str, digests: Iterable[str]) -> bool:
    """Tell whether one of `digests` is that of `shown`, in a time that does not depend on which, or where it differs."""
    found = token_digest(shown)
    matches = [hmac.compare_digest(found, each) for each in digests]
    return any(matches)

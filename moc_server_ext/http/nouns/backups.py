"""``backups``: copies of everything that is stored, in the server's own target.

Whoever shows the token can have a backup made as it is configured. All that could hurt (another target, fewer backups,
the key) is for this user on this machine, who proves it by a file in the staging directory.
"""

from __future__ import annotations

from ...errors import AccessDeniedError, InvalidInputError
from ..lines import json_lines
from ..messages import ApiRequest, ApiResponse, json_response, no_content, parse_flag, parse_single


def list_backups(request: ApiRequest) -> ApiResponse:
    """List the backups in the server's target, newest first."""
    request.parameters()
    return json_response({"backups": [each.to_json() for each in request.platform.backups.list()]})


def post_backup(request: ApiRequest) -> ApiResponse:
    """Back everything up, and tell how far it is in lines of JSON, the last of which is the backup."""
    query = request.parameters("target", "keep", "include_tls_key", "adopt", "proof")
    backups = request.platform.backups
    target = parse_single(query["target"], "target")
    keep = _count(parse_single(query["keep"], "keep"))
    include_tls_key = parse_flag(query["include_tls_key"], "include_tls_key")
    adopt = parse_flag(query["adopt"], "adopt")
    is_own = target in (None, backups.own_target())
    if not is_own or keep is not None or include_tls_key or adopt:
        proof = parse_single(query["proof"], "proof")
        if proof is None or not backups.is_proven(proof):
            raise AccessDeniedError(
                "This server makes backups as it is configured (MocExtension.backup_target, backup_keep). Another "
                "target, keep, include_tls_key and adopt are for its own user on its own machine."
            )
    return json_lines(backups.create(target, keep=keep, include_tls_key=include_tls_key, adopt=adopt))


def post_verify(request: ApiRequest) -> ApiResponse:
    """Read a backup in the server's target back, and tell how far it is in lines of JSON, the last one the report."""
    query = request.parameters("backup")
    return json_lines(request.platform.backups.verify(None, parse_single(query["backup"], "backup")))


def post_take_over(request: ApiRequest) -> ApiResponse:
    """Let the schedules of a restored instance start."""
    request.parameters()
    request.platform.backups.take_over()
    return no_content()


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9):
        raise InvalidInputError(f"Query parameter 'keep' is a whole number from 1, not {text[:32]!r}.")
    return int(text)

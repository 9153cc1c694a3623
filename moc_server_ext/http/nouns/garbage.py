"""``POST gc``."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse, json_response, parse_flag


def post_gc(request: ApiRequest) -> ApiResponse:
    """Remove the files of what nothing refers to any more, or tell what would be removed."""
    query = request.parameters("dry_run")
    return json_response(request.platform.gc(dry_run=parse_flag(query["dry_run"], "dry_run")))

"""``fsck``: the check of everything that is stored."""

from __future__ import annotations

from ..lines import json_lines
from ..messages import ApiRequest, ApiResponse, parse_flag


def post_fsck(request: ApiRequest) -> ApiResponse:
    """Check everything that is stored, and tell how far it is in lines of JSON, the last of which is the report."""
    query = request.parameters("quick", "repair", "remove_damaged")
    return json_lines(request.platform.fsck(**{name: parse_flag(given, name) for name, given in query.items()}))

"""``POST promote``: a standby becomes the primary."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse, json_response


def post_promote(request: ApiRequest) -> ApiResponse:
    """Make this standby the primary.

    It ends the turn of the primary, repeats what the log still has, and accepts writes from then on. The former primary
    acknowledges no write any more.
    """
    request.parameters()
    return json_response(request.platform.promote())

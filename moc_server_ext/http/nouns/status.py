"""``GET status``."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse, json_response


def get_status(request: ApiRequest) -> ApiResponse:
    """Tell what runs."""
    request.parameters()
    return json_response(request.platform.status())

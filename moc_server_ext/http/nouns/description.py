"""``GET openapi.json``."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse


def get_openapi(request: ApiRequest) -> ApiResponse:
    """Describe the API to programs, as an OpenAPI document."""
    request.parameters()
    return ApiResponse(body=request.describe())

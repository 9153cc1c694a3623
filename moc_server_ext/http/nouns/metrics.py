"""``GET metrics``."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def get_metrics(request: ApiRequest) -> ApiResponse:
    """Tell the server's metrics in Prometheus' text format."""
    request.parameters()
    return ApiResponse(body=request.measure(), content_type=METRICS_CONTENT_TYPE)

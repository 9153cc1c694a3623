"""``calls``: how a call is or ended, and its end before its time. Calls begin at ``functions/{name}/call``."""

from __future__ import annotations

from ..messages import ApiRequest, ApiResponse, json_response, parse_limit


def list_calls(request: ApiRequest) -> ApiResponse:
    """List calls that run and the last ones that ended, those that began last first."""
    limit = parse_limit(request.parameters("limit")["limit"])
    return json_response({"calls": [each.to_json() for each in request.platform.calls.list(limit=limit)]})


def get_call(request: ApiRequest) -> ApiResponse:
    """Tell how a call is, or how it ended; for a while after its end."""
    request.parameters()
    return json_response(request.platform.calls.get(request.name()).to_json())


def delete_call(request: ApiRequest) -> ApiResponse:
    """Cancel a call and tell its state; one that has ended stays as it is."""
    request.parameters()
    return json_response(request.platform.calls.cancel(request.name()).to_json())

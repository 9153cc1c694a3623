"""``runs``: executions of plans."""

from __future__ import annotations

from ...model import DEFAULT_CONTENT_TYPE, MapReduce
from ..messages import ApiRequest, ApiResponse, created, json_response


def list_runs(request: ApiRequest) -> ApiResponse:
    """List the recent runs, newest first."""
    request.parameters()
    return json_response({"runs": [each.to_json() for each in request.platform.runs.list()]})


def post_run(request: ApiRequest) -> ApiResponse:
    """Begin a run of the plan in the body; it goes on in the background."""
    request.parameters()
    record = request.platform.runs.start(MapReduce.from_json(request.json_body()))
    return created(request, record.to_json(), "runs", record.run_id)


def get_run(request: ApiRequest) -> ApiResponse:
    """Tell how far a run is."""
    request.parameters()
    return json_response(request.platform.runs.get(request.name()).to_json())


def get_run_output(request: ApiRequest) -> ApiResponse:
    """Give the output of a finished run."""
    request.parameters()
    output = request.platform.runs.output(request.name())
    return ApiResponse(body=output, content_type=DEFAULT_CONTENT_TYPE, sandboxed=True)


def delete_run(request: ApiRequest) -> ApiResponse:
    """Cancel a run and tell its state; one that has ended stays as it is."""
    request.parameters()
    return json_response(request.platform.runs.cancel(request.name()).to_json())

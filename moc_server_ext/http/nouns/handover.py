"""``POST handover``: a server that starts asks an embedded owner for its storage."""

from __future__ import annotations

from ...errors import ConflictError, InvalidInputError
from ...storage.endpoint import is_pid
from ..messages import ApiRequest, ApiResponse


def post_handover(request: ApiRequest) -> ApiResponse:
    """Close the storage, so that the process that asks can open it.

    Only an embedded owner does so, and only when no call and no run is under way. After the answer the storage is
    closed and unlocked, and this address ends.
    """
    request.parameters()
    pid = request.json_body().get("pid") if request.body else None
    if pid is not None and not is_pid(pid):
        raise InvalidInputError("pid is the process id of the one who asks, a positive integer.")
    if request.hand_over is None:
        raise ConflictError("The owner of this storage is a server, which hands it over to nobody. Stop it first.")
    request.hand_over(pid)
    return ApiResponse(status=204)

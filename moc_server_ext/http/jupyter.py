"""The API on Jupyter's own port: the same operations behind Jupyter's authentication, authorization and XSRF rules."""

from __future__ import annotations

from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ..errors import AccessDeniedError, UnauthorizedError
from .handler import Api, ApiMixin
from .messages import Door
from .routes import API_PATH, find_action


@web.stream_request_body
class JupyterApiHandler(ApiMixin, APIHandler):  # type: ignore[misc]
    """A request that Jupyter knows: by its token, or by its cookie and an XSRF token."""

    auth_resource = "moc"
    door = Door.JUPYTER
    # Jupyter's own query parameters.
    _ignored_parameters = frozenset({"token", "_xsrf", "no_track_activity"})

    async def authenticate(self) -> str:
        """Ask Jupyter who this is, then its authorizer whether they may."""
        try:
            await APIHandler.prepare(self)
        except web.HTTPError as error:
            # Without a user Jupyter answers 403, for one method or the other; to a client that is "log in first".
            if error.status_code == 403 and self.check_host() and not self.current_user:
                raise UnauthorizedError() from None
            raise
        if not self.current_user:
            raise UnauthorizedError()
        action = find_action(self.request.method or "", tuple(self.api_path().split("/"))).value
        allowed = await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource))
        if not allowed:
            raise AccessDeniedError(f"This user may not {action} {self.auth_resource!r} on this Jupyter server.")
        return f"jupyter:{self.current_user.username}"

    def finish_with(self, body: bytes | None, content_type: str | None) -> None:
        """End the response with this content type; `APIHandler.finish` would make it JSON."""
        if content_type is None:
            self.update_api_activity()
            self.clear_header("Content-Type")
            web.RequestHandler.finish(self)
        else:
            self.finish(body, set_content_type=content_type)

    def api_path(self) -> str:
        """Give what follows the API's root in the path."""
        # The raw path: tornado would decode an encoded slash, which belongs to a name.
        path: str = self.request.path
        return path[len(self.base_url) + len(API_PATH) :]

    @web.authenticated
    async def get(self) -> None:
        """Answer GET."""
        await self.answer()

    @web.authenticated
    async def head(self) -> None:
        """Answer HEAD."""
        await self.answer()

    @web.authenticated
    async def post(self) -> None:
        """Answer POST."""
        await self.answer()

    @web.authenticated
    async def put(self) -> None:
        """Answer PUT."""
        await self.answer()

    @web.authenticated
    async def delete(self) -> None:
        """Answer DELETE."""
        await self.answer()

    @web.authenticated
    async def patch(self) -> None:
        """Answer PATCH, which nothing takes."""
        await self.answer()


def jupyter_routes(api: Api) -> list[tuple[Any, ...]]:
    """Give the handlers for Jupyter's application, below its base URL."""
    return [(API_PATH + r".*", JupyterApiHandler, {"api": api})]

"""Outbound requests made for a guest: what host functions and virtual files have in common.

Whether a request may be made, and what the guest hears when not; how it goes out is :mod:`~..egress`'s.
"""

from __future__ import annotations

from ..egress.fetch import Fetch
from ..egress.network import Network
from ..egress.rules import AllowedHosts
from ..egress.urls import Url, parse_url
from ..errors import AccessDeniedError, InvalidInputError, LimitExceededError, MocError
from .context import CallContext
from .errno import Errno, GuestErrno


def check_url(call: CallContext, text: str) -> Url:
    """Read a URL and see that this call's function may request it; nothing is looked up.

    Raises
    ------
    GuestErrno
        ENOSYS where there is no network: in a function that declares itself deterministic, and outside of a cluster.
        EINVAL for what is no URL and EACCES for a host that is not allowed, with the reason on stderr.
    """
    _network(call)
    try:
        url = parse_url(text)
        _allowed(call).require(url)
    except MocError as error:
        raise refusal(call, error) from None
    return url


def open_request(call: CallContext, url: Url, *, body: bytes = b"", content_type: str = "") -> Fetch:
    """Make a request ready to start: GET, or POST where there is a `content_type`."""
    return Fetch(
        url,
        method="POST" if content_type else "GET",
        body=body,
        headers={"content-type": content_type} if content_type else None,
        function=call.invocation.function,
        allowed=_allowed(call),
        limit_bytes=call.invocation.limits.response_bytes,
        network=_network(call),
    )


def refusal(call: CallContext, error: MocError) -> Exception:
    """Make what a host function raises when a request failed: the guest's error number, with the reason on stderr.

    The limit of a response ends the call, as other limits do.
    """
    if isinstance(error, LimitExceededError):
        return error
    call.complain(error.message)
    if isinstance(error, AccessDeniedError):
        return GuestErrno(Errno.EACCES)
    return GuestErrno(Errno.EINVAL if isinstance(error, InvalidInputError) else Errno.EIO)


def _allowed(call: CallContext) -> AllowedHosts:
    return AllowedHosts(call.invocation.function, call.invocation.grants.allowed_hosts)


def _network(call: CallContext) -> Network:
    network = None if call.invocation.deterministic else call.network
    if network is None:
        raise GuestErrno(Errno.ENOSYS)
    return network

"""``http://…`` and ``https://…``: requests, opened like files (:mod:`..web`)."""

from __future__ import annotations

from ....egress.urls import Url
from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.outbound import check_url
from ..descriptors import STREAM_DEVICE, Descriptor, Stat
from ..web import WebFile
from .base import Asked, Scheme


class HttpScheme(Scheme):
    """Opens URLs of hosts that the function may reach.

    Parameters
    ----------
    prefix
        The scheme with its slashes.
    """

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Descriptor:
        """Prepare a request, which the first read sends."""
        if asked.exclusive:
            raise GuestErrno(Errno.EEXIST)
        url = self._check(call, name)
        if not asked.reading:
            call.complain(
                f"{url} was opened for writing only: open it for reading as well, the first read sends the request."
            )
            raise GuestErrno(Errno.EACCES)
        return WebFile(url, call.wasi.tree.quota, writable=asked.writing)

    def stat(self, call: CallContext, name: bytes) -> Stat:
        """Describe a request, once its host is known to be allowed."""
        self._check(call, name)
        return Stat(STREAM_DEVICE, WebFile.inode, WebFile.filetype, 1, 0, 0, 0, 0)

    def _check(self, call: CallContext, name: bytes) -> Url:
        try:
            return check_url(call, self._prefix + name.decode())
        except UnicodeDecodeError:
            raise GuestErrno(Errno.EINVAL) from None

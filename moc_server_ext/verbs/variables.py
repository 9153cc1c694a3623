"""Variables of a notebook as the input of a call: bytes, and for arrays the headers that say what they are."""

from __future__ import annotations

from ..abc import Bytes
from ..errors import InvalidInputError
from ..model import CallResult
from .host import Host
from .options import variable_bytes


def variable_input(host: Host, name: str) -> tuple[Bytes, dict[str, str]]:
    """Give the bytes of the person's variable, and the headers that go along.

    Arrays of every kind, stored buffers and results of calls bring their data type and shape; see
    :mod:`~moc_server_ext.client.call_input`.

    Raises
    ------
    InvalidInputError
        There is no such variable, or it is nothing that has bytes, or an array of what no guest knows.
    """
    from ..client.call_input import input_content
    from ..client.handles import BufferHandle
    from ..client.values import is_array_like

    value = host.variable(name)
    if not (isinstance(value, BufferHandle | CallResult) or is_array_like(value)):
        return variable_bytes(host, name), {}
    try:
        return input_content(value)
    except InvalidInputError as error:
        raise InvalidInputError(f"Variable {name!r} cannot be given to a guest. {error.message}", name=name) from None

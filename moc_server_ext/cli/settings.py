"""The options that every verb of the command line takes, before or after its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import InvalidInputError
from ..verbs.commands import GlobalOption
from ..verbs.completion import directory_names, file_names


@dataclass(slots=True)
class Settings:
    """What the global options said; None leaves it to the environment."""

    storage: str | None = None
    url: str | None = None
    token: str | None = None
    ca_file: str | None = None
    json: bool = False


def read_token(text: str) -> str:
    """Give the token that ``--token`` names: itself, or with ``@FILE`` the one in that file.

    The file holds a bare token, or the header line that ``curl -H @FILE`` takes.

    Raises
    ------
    InvalidInputError
        The file cannot be read, or holds no token.
    """
    if not text.startswith("@"):
        return text
    path = text[1:]
    try:
        words = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise InvalidInputError(f"The token file {path!r} cannot be read: {reason}.") from None
    if not words or len(words) > 3:
        raise InvalidInputError(f"The token file {path!r} holds no token: expected the token alone or a header line.")
    return words[-1]


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    # A verb's level that was not given the option must not undo what was given before the verb.
    if value in (None, False):
        return
    if param.name == "token":
        try:
            value = read_token(value)
        except InvalidInputError as error:
            raise click.BadParameter(error.message, ctx, param) from None
    setattr(ctx.obj.settings, str(param.name), value)


def global_options() -> list[click.Parameter]:
    """Make the options; their values go to ``ctx.obj.settings``."""
    return [
        GlobalOption(
            ["--storage"],
            metavar="DIR",
            shell_complete=directory_names,
            expose_value=False,
            callback=_keep,
            help="The storage directory. Without it: $MOC_STORAGE, else the user's data directory.",
        ),
        GlobalOption(
            ["--url"],
            metavar="URL",
            expose_value=False,
            callback=_keep,
            help="A server to talk to. Without it: $MOC_URL, else the server that owns the storage.",
        ),
        GlobalOption(
            ["--token"],
            metavar="TOKEN|@FILE",
            expose_value=False,
            callback=_keep,
            help="The server's token, or a file that holds it. Others see a token in the process list: "
            "prefer @FILE or $MOC_TOKEN.",
        ),
        GlobalOption(
            ["--ca-file"],
            metavar="FILE",
            shell_complete=file_names,
            expose_value=False,
            callback=_keep,
            help="The certificate of the server at --url, if no authority signed it.",
        ),
        GlobalOption(
            ["--json"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_keep,
            help="Give results and errors as JSON.",
        ),
    ]

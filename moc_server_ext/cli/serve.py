"""The verb ``serve``: its options; the server itself is in ``http/serving.py``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from ..verbs.commands import Verb
from ..verbs.outcome import MessageOutcome
from .host import TerminalHost

_PORT = click.IntRange(0, 65535)


@click.command(
    cls=Verb,
    example=["moc serve", "moc serve --lab --notebook-dir notebooks --open-path quickstart.ipynb"],
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", default=8443, show_default=True, type=_PORT, help="Port of the gateway (HTTPS); 0 is any.")
@click.option("--jupyter-port", default=8888, show_default=True, type=_PORT, help="Port of Jupyter; 0 is any.")
@click.option("--lab", is_flag=True, help="Serve JupyterLab.")
@click.option(
    "--notebook-dir", type=click.Path(path_type=Path), metavar="DIR", help="Root of Jupyter's files.  [default: here]"
)
@click.option("--open-path", metavar="FILE", help="File below the notebook directory that the printed address opens.")
@click.option(
    "--restore", metavar="TARGET", help="Make the storage, which is new or empty, from the newest backup there."
)
@click.option("--take-over", is_flag=True, help="Let the schedules of a restored storage start.")
@click.option("--replicate-to", metavar="TARGET", help="Ship every commit to a directory or s3://BUCKET/PREFIX.")
@click.option("--replicate-sync", is_flag=True, help="Acknowledge a write only when it is on that target.")
@click.option("--follow", metavar="TARGET", help="Follow a primary's target, read-only, until `moc promote`.")
@click.pass_context
def serve(
    context: click.Context,
    host: str,
    port: int,
    jupyter_port: int,
    lab: bool,
    notebook_dir: Path | None,
    open_path: str | None,
    restore: str | None,
    take_over: bool,
    replicate_to: str | None,
    replicate_sync: bool,
    follow: str | None,
) -> MessageOutcome:
    """Start the server: Jupyter with the moc extension, and the HTTPS gateway.

    Prints how to log in and where things are. Ctrl-C ends it; the next start continues where this one ended.
    """
    from ..http.serving import ServeOptions, run_server

    face: TerminalHost = context.obj
    options = ServeOptions(
        host=host,
        port=port,
        jupyter_port=jupyter_port,
        lab=lab,
        notebook_dir=notebook_dir,
        open_path=open_path,
        storage=Path(face.storage) if face.storage else None,
        restore=restore,
        take_over=take_over,
        replicate_to=replicate_to,
        replicate_sync=replicate_sync,
        follow=follow,
    )
    return MessageOutcome("", None, status=run_server(options, _say))


def _say(line: str) -> None:
    # Whoever read the terminal may have gone away (`moc serve | head`); the server goes on, and can be ended.
    with contextlib.suppress(OSError):
        click.echo(line)

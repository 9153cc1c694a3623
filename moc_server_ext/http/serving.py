"""``moc serve``: a Jupyter server in this process, with the moc extension, from start to end.

There is no other server: this one is configured here, and the extension does the rest.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ..cluster import default_storage_path
from ..errors import AddressInUseError, InvalidInputError, MissingExtraError, MocError
from .deferral import defer_address_grammar
from .gateway import bind
from .startup import StartupError

_EXTENSION = "moc_server_ext"
_KERNEL_SHUTDOWN_SECONDS = 0.8
_STOP_SECONDS = 1.4


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What ``moc serve`` was asked for.

    Parameters
    ----------
    host
        Where both ports listen.
    port, jupyter_port
        Of the gateway and of Jupyter; 0 takes any free one.
    lab
        Whether JupyterLab is served.
    notebook_dir
        Root of Jupyter's files; None is the working directory.
    open_path
        File below `notebook_dir` that the printed address opens; None opens none.
    storage
        Storage directory; None takes the default one.
    restore
        Backup target that a new or empty storage directory is made from first; None restores nothing.
    take_over
        Whether the schedules of a restored storage start.
    replicate_to, replicate_sync, follow
        As of :meth:`.Cluster.open`; None leaves it to the configuration.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    jupyter_port: int = 8888
    lab: bool = False
    notebook_dir: Path | None = None
    open_path: str | None = None
    storage: Path | None = None
    restore: str | None = None
    take_over: bool = False
    replicate_to: str | None = None
    replicate_sync: bool = False
    follow: str | None = None


def run_server(options: ServeOptions, say: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM.

    Must be called on the main thread. Blocks; gives the exit code.

    Parameters
    ----------
    say
        Prints one line for the person.

    Raises
    ------
    AddressInUseError
        A port is taken; names its option.
    LockedStorageError, ReadOnlyStorageError, StorageFormatError
        The storage cannot be opened.
    MissingExtraError
        JupyterLab was asked for and is not installed.
    InvalidInputError
        A directory or file of the options is not there.
    ConflictError, BackupTargetError, BackupError
        A backup was to be restored: the storage directory holds something; there is none; it is damaged.
    """
    _check(options)
    if options.restore is not None:
        _restore(options.restore, options.storage or default_storage_path(), say)
    try:
        app = _make_app(options)
    except StartupError as failure:
        raise _named_by_option(failure.error) from None
    extension = app.extension_manager.extension_points[_EXTENSION].app
    if options.take_over:
        extension.cluster.backups.take_over()
    extension.on_ready = lambda: _announce(app, extension, options, say)
    loop = app.io_loop.asyncio_loop
    stopping = cut_off = False

    def stop_now() -> None:
        nonlocal cut_off
        cut_off = True
        app.io_loop.stop()

    def begin_stop() -> None:
        say("moc: shutting down.")
        app.stop()
        # Jupyter's own clean-up fails when a kernel restarts just then, and leaves the loop running.
        loop.call_later(_STOP_SECONDS, stop_now)

    def on_signal(signum: int, frame: Any) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + signum)  # Asked twice: at once. What was acknowledged is on the disk.
        stopping = True
        # Not from in here: the main thread may be in the middle of printing something else.
        loop.call_soon_threadsafe(begin_stop)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, on_signal)
    app.start()
    if cut_off or extension.busy or extension.cluster is not None:
        # A guest that computes, or a clean-up that did not end, would hold the interpreter's exit up.
        extension.withdraw()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _check(options: ServeOptions) -> None:
    root = options.notebook_dir
    if root is not None and not root.is_dir():
        raise InvalidInputError(f"--notebook-dir {str(root)!r} is not a directory.", path=str(root))
    if options.open_path is not None and not ((root or Path.cwd()) / options.open_path).exists():
        raise InvalidInputError(f"--open-path {options.open_path!r} is not in {str(root or Path.cwd())!r}.")
    if options.lab and importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("JupyterLab", extra="lab")
    # Jupyter would end with a line of its own, after the storage was opened.
    for each in bind(options.host, options.jupyter_port, option="--jupyter-port"):
        each.close()


def _restore(target: str, directory: Path, say: Callable[[str], None]) -> None:
    from ..storage.backup.restoring import restore_backup
    from ..storage.targets.opening import open_target

    record = restore_backup(open_target(target), directory)
    say(f"moc: restored the backup {record.id} of the instance {record.instance_id}.")


def _make_app(options: ServeOptions) -> Any:
    defer_address_grammar()
    from jupyter_server.serverapp import ServerApp
    from traitlets.config import Config

    config = Config()
    config.ServerApp.ip = options.host
    config.ServerApp.port = options.jupyter_port
    config.ServerApp.port_retries = 0
    config.ServerApp.open_browser = False
    config.ServerApp.root_dir = str(options.notebook_dir or Path.cwd())
    config.ServerApp.log_level = logging.WARNING
    # In a container there is often no other user; guests see nothing of this machine, and both ports ask for a token.
    config.ServerApp.allow_root = os.geteuid() == 0
    # A token of our own, so that Jupyter does not print one; a person's choice goes before.
    config.IdentityProvider.token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(24)
    config.KernelManager.shutdown_wait_time = _KERNEL_SHUTDOWN_SECONDS
    if _can_encrypt_kernels():
        # Else ipykernel complains on this terminal about each kernel.
        config.KernelManager.transport_encryption = "auto"
    config.MocExtension.required = True
    config.MocExtension.gateway_host = options.host
    config.MocExtension.gateway_port = options.port
    if options.storage is not None:
        config.MocExtension.storage = str(options.storage)
    if options.replicate_to is not None:
        config.MocExtension.replicate_to = options.replicate_to
    if options.replicate_sync:
        config.MocExtension.replicate_sync = True
    if options.follow is not None:
        config.MocExtension.follow = options.follow
    extensions = {_EXTENSION: True}
    if options.lab:
        config.LabApp.log_level = logging.WARNING
        # No request to anybody outside (Jupyter news, new versions).
        config.LabApp.news_url = None
        config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
        extensions["jupyterlab"] = True
    app = ServerApp.instance(config=config, jpserver_extensions=extensions)
    app.initialize(argv=[], find_extensions=options.lab, starter_extension="lab" if options.lab else None)
    # Jupyter's times for pings contradict each other, which tornado would say on the terminal for each kernel.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    return app


def _can_encrypt_kernels() -> bool:
    import zmq
    from jupyter_client.manager import KernelManager

    return zmq.has("curve") and KernelManager.class_traits().get("transport_encryption") is not None


def _named_by_option(error: MocError) -> MocError:
    if isinstance(error, AddressInUseError):
        return AddressInUseError(error.details["host"], error.details["port"], option="--port")
    return error


def _announce(app: Any, extension: Any, options: ServeOptions, say: Callable[[str], None]) -> None:
    """Print the block that tells where everything is."""
    storage = extension.cluster.storage
    functions = [each.name for each in extension.cluster.functions.list()]
    lines = {
        "JupyterLab" if options.lab else "Jupyter": _login_url(app, options),
        "Gateway": f"{extension.gateway.url}/moc/api/v1/",
        "Storage": str(storage.path),
        "Try": _curl_line(extension.gateway, storage, functions),
    }
    if storage.schedules_held:
        origin = storage.facts.get("restored_from") or {}
        lines["Restored"] = (
            f"from {origin.get('backup')}; schedules are held until `moc take-over` (or serve --take-over)"
        )
    width = max(map(len, lines))
    say("My Own Cluster is running. Ctrl-C ends it.")
    for title, text in lines.items():
        say(f"  {title:<{width}}  {text}")


def _login_url(app: Any, options: ServeOptions) -> str:
    path = ""
    if options.lab:
        path = "lab/tree/" + quote(options.open_path) if options.open_path else "lab"
    return f"{app.connection_url}{path}?{urlencode({'token': app.identity_provider.token})}"


def _curl_line(gateway: Any, storage: Any, functions: list[str]) -> str:
    """Give a command that works when it is pasted, and does not show the token in the list of processes."""
    name = "uppercase" if "uppercase" in functions else None
    command = ["curl", "--cacert", str(gateway.ca_file), "-H", f"@{storage.authorization_file}"]
    api = f"{gateway.url}/moc/api/v1/"
    command += [api + "status"] if name is None else [f"{api}functions/{name}/call", "-d", "hello"]
    return shlex.join(command)

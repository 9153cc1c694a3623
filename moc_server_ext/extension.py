"""The Jupyter server extension: opens the cluster inside of a Jupyter server and serves its API on both ports.

Owns the life cycle (open or attach to the storage's owner, announce in ``endpoint.json`` and for this process, close).
What the API does is in ``http/``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Dict, Float, Integer, Unicode

from .errors import InternalError, InvalidInputError, LockedStorageError, MocError
from .housekeeping import Housekeeping
from .http.connections import HANDSHAKE_SECONDS
from .http.gateway import Gateway, certificate_hosts
from .http.handler import Api
from .http.jupyter import jupyter_routes
from .http.observation import Observation
from .http.startup import StartupError
from .http.tls import ensure_certificate
from .http.workers import Workers
from .model import Limits, parse_limits
from .storage.announcement import announce_endpoint_file, withdraw_announcement
from .storage.backup.schedule import BackupSchedule
from .storage.endpoint import ENDPOINT_FILE, Endpoint, read_endpoint, remove_endpoint, write_endpoint

if TYPE_CHECKING:
    from .cluster import Cluster
    from .http.events.emitter import EventLog

_STORAGE_THREADS = 8
_CLOSE_SECONDS = 1.5


class MocExtension(ExtensionApp):
    """My Own Cluster in a Jupyter server.

    If the cluster cannot be opened, an ordinary Jupyter server says why in one log line and goes on without it;
    with ``required`` it ends (:class:`.StartupError`).
    """

    name = "moc_server_ext"

    storage = Unicode("", help="Storage directory; empty takes $MOC_STORAGE, else the user's data directory.").tag(
        config=True
    )
    enable_gateway = Bool(True, help="Whether to serve the API on a port of its own, over TLS.").tag(config=True)
    gateway_host = Unicode("127.0.0.1", help="Address that the gateway listens on.").tag(config=True)
    gateway_port = Integer(8443, min=0, max=65535, help="Port of the gateway; 0 takes any free one.").tag(config=True)
    gateway_connections = Integer(
        0,
        min=0,
        help="Connections of the gateway at once; one more closes the one that has been idle the longest. "
        "0 is what the limit of open files allows, at most 10,000.",
    ).tag(config=True)
    handshake_seconds = Float(
        HANDSHAKE_SECONDS, min=0, help="How long a client of the gateway may take to agree on encryption, in seconds."
    ).tag(config=True)
    max_body_bytes = Integer(256 << 20, min=1, help="Largest body of a request, in bytes.").tag(config=True)
    concurrent_calls = Integer(
        0, min=0, help="Calls that compute at once, by turns; 0 is two per processor and four more."
    ).tag(config=True)
    queued_calls = Integer(1024, min=0, help="Calls that may wait for their turn, for up to 4 seconds.").tag(
        config=True
    )
    memory_bytes = Integer(
        0, min=0, help="Memory that all guests may hold together; 0 is half of what the machine or container has."
    ).tag(config=True)
    warm_instances = Integer(
        64, min=0, help="Instances of reusable functions that may wait for their next call; 0 keeps none."
    ).tag(config=True)
    storage_bytes = Integer(0, min=0, help="Bytes that may be stored; 0 is as much as there is room for.").tag(
        config=True
    )
    grace_seconds = Float(
        60.0, min=0, help="How long a stored file stays after it was replaced or removed, for its readers, in seconds."
    ).tag(config=True)
    limits = Dict(
        help="Default limits of all functions, by name, such as {'timeout_seconds': 10}.", per_key_traits={}
    ).tag(config=True)
    close_seconds = Float(_CLOSE_SECONDS, min=0, help="How long to wait at the end for calls that still run.").tag(
        config=True
    )
    backup_target = Unicode(
        "", help="Where backups go: a directory, best on another disk, or s3://BUCKET/PREFIX; empty is nowhere."
    ).tag(config=True)
    backup_every_seconds = Float(0, min=0, help="How often a backup is made, in seconds; 0 is never by itself.").tag(
        config=True
    )
    backup_keep = Integer(
        0, min=0, help="How many backups are kept of those that are made by themselves; 0 is all."
    ).tag(config=True)
    replicate_to = Unicode(
        "", help="Target that every commit is shipped to: a directory or s3://BUCKET/PREFIX; empty ships nothing."
    ).tag(config=True)
    replicate_sync = Bool(
        False, help="Whether a write is acknowledged only when it is on the target of replicate_to."
    ).tag(config=True)
    follow = Unicode(
        "", help="Target that this server follows, read-only, until it is promoted; empty follows nobody."
    ).tag(config=True)
    required = Bool(False, help="Whether the server ends when the cluster cannot be opened.").tag(config=True)

    cluster: Cluster | None = None
    gateway: Gateway | None = None
    #: Called once, on the event loop, when everything answers.
    on_ready: Callable[[], None] | None = None
    _workers: Workers | None = None
    _unfinished = False
    _observation: Observation | None = None
    _housekeeping: Housekeeping | None = None
    _backups: BackupSchedule | None = None

    # -- start --------------------------------------------------------------------------------------------------------

    def initialize(self) -> None:  # type: ignore[override]
        """Open the cluster and add its handlers; called once, before the event loop runs."""
        try:
            self._open()
        except MocError as error:
            self._let_go()
            if self.required:
                raise StartupError(error) from error
            self._go_on_without(error)
        except Exception as error:
            # Jupyter itself would log a fault of ours and go on, which is right only where moc is not the point.
            self._let_go()
            if not self.required:
                raise
            incident = secrets.token_hex(4)
            self.log.error("Incident %s: moc cannot start", incident, exc_info=True)
            raise StartupError(InternalError(incident)) from error
        super().initialize()  # type: ignore[no-untyped-call]

    def _open(self) -> None:
        from .client.opening import take_over
        from .cluster import Cluster, default_storage_path

        path = Path(self.storage).expanduser() if self.storage else default_storage_path()
        opening = partial(
            Cluster.open,
            path,
            limits=self._limits(),
            concurrent_calls=self.concurrent_calls or None,
            queued_calls=self.queued_calls,
            memory_bytes=self.memory_bytes or None,
            warm_instances=self.warm_instances,
            storage_bytes=self.storage_bytes,
            grace_seconds=self.grace_seconds,
            backup_target=self.backup_target or None,
            replicate_to=self.replicate_to,
            replicate_sync=self.replicate_sync,
            follow=self.follow,
        )
        self.cluster = cluster = take_over(path, opening)
        storage = cluster.storage
        self._workers = Workers(_STORAGE_THREADS)
        self._workers.begin(cluster.make_ready)
        self._observation = Observation(cluster, self._workers)
        api = Api(cluster, self._workers, self.max_body_bytes, metrics=self._observation.metrics)
        if self.enable_gateway:
            self.gateway = Gateway(
                api,
                token=storage.token,
                accepted=storage.accepted_tokens(),
                certificate=ensure_certificate(storage.path / "tls", certificate_hosts(self.gateway_host)),
                host=self.gateway_host,
                port=self.gateway_port,
                option="--MocExtension.gateway_port",
                max_connections=self.gateway_connections,
                handshake_seconds=self.handshake_seconds,
            )
        self.handlers.extend(jupyter_routes(api))
        self._lead_to(storage.path / ENDPOINT_FILE)

    def _lead_to(self, endpoint_file: Path) -> None:
        """Make this server's kernels and terminals find the owner of the storage."""
        # They inherit the environment; some are started without it, and know only whose children they are.
        os.environ["MOC_ENDPOINT_FILE"] = str(endpoint_file)
        try:
            announce_endpoint_file(endpoint_file, os.getpid())
        except MocError as error:
            self.log.error("moc: kernels without MOC_ENDPOINT_FILE will not find this server: %s", error.message)

    def _limits(self) -> Limits:
        changes = parse_limits([f"{name}={value}" for name, value in self.limits.items()])
        return Limits().replaced(changes)

    def _go_on_without(self, error: MocError) -> None:
        path = Path(error.details.get("path") or "")
        owner = read_endpoint(path) if isinstance(error, LockedStorageError) else None
        if owner is not None:
            self._lead_to(path / ENDPOINT_FILE)
            self.log.warning("moc: this server's kernels use the cluster of another process: %s", error.message)
        else:
            self.log.warning("moc: this server runs without My Own Cluster: %s", error.message)

    async def _start_jupyter_server_extension(self, serverapp: object) -> None:
        """Begin to serve and announce it; Jupyter calls this once its event loop runs."""
        if self.cluster is None:
            return
        if self._observation is not None and self.serverapp is not None:
            self._observation.start(cast("EventLog", self.serverapp.event_logger))
        if self.gateway is not None:
            self.gateway.start()
        endpoint = self.endpoint()
        if not endpoint.token:
            self.log.error(
                "moc: kernels cannot reach this server: it has neither a gateway (MocExtension.enable_gateway) nor a "
                "token of Jupyter's that they could show"
            )
        try:
            if endpoint.token:
                write_endpoint(self.cluster.storage.path, endpoint)
        except MocError as error:
            self.log.error("moc: clients on this machine will not find this server: %s", error.message)
        cluster = self.cluster
        self._housekeeping = Housekeeping(lambda: cluster.activity().running == 0)
        self._housekeeping.start()
        if self.backup_every_seconds and self.backup_target:
            self._backups = BackupSchedule(cluster.backups, self.backup_every_seconds, self.backup_keep or None)
            self._backups.start()
        if self.on_ready is not None:
            self.on_ready()

    def endpoint(self) -> Endpoint:
        """Tell how this server is reached."""
        if self.cluster is None or self.serverapp is None:
            raise InvalidInputError("The extension has no cluster.")
        gateway = self.gateway
        # A certificate of Jupyter's own that no authority signed is its own authority.
        jupyter_ca_file = os.path.abspath(self.serverapp.certfile) if self.serverapp.certfile else None
        return Endpoint(
            pid=os.getpid(),
            url=None if gateway is None else gateway.url,
            jupyter_url=self.jupyter_url,
            token=self.serverapp.identity_provider.token if gateway is None else self.cluster.storage.token,
            ca_file=jupyter_ca_file if gateway is None else str(gateway.ca_file),
            instance_id=self.cluster.storage.instance_id,
        )

    @property
    def jupyter_url(self) -> str:
        """Base address of the Jupyter server, as seen from this machine."""
        return "" if self.serverapp is None else str(self.serverapp.connection_url)

    # -- end ----------------------------------------------------------------------------------------------------------

    async def stop_extension(self) -> None:
        """Take the announcements back and close; Jupyter calls this at its end."""
        self.withdraw()
        if self._housekeeping is not None:
            await self._housekeeping.stop()
            self._housekeeping = None
        if self._backups is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._backups.stop)
            self._backups = None
        if self.cluster is None:
            return
        if self.gateway is not None:
            await self.gateway.stop()
            self.gateway = None
        if self._observation is not None:
            self._observation.stop()
            self._observation = None
        cluster, self.cluster = self.cluster, None
        if self._workers is not None:
            self._workers.close()
        closing = asyncio.get_running_loop().run_in_executor(None, cluster.close)
        _, unfinished = await asyncio.wait([closing], timeout=self.close_seconds)
        self._unfinished = bool(unfinished)
        if unfinished:
            self.log.warning("moc: calls were still running at the end; what was stored is safe.")

    def withdraw(self) -> None:
        """Take the announcements back, for an end that cannot wait for :meth:`stop_extension`; idempotent."""
        withdraw_announcement(os.getpid())
        if self.cluster is not None:
            remove_endpoint(self.cluster.storage.path)

    @property
    def busy(self) -> bool:
        """Whether something still holds a thread that the interpreter's end would wait for."""
        return self._unfinished or (self._workers is not None and self._workers.busy)

    def _let_go(self) -> None:
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            cluster.close()
        if self._workers is not None:
            self._workers.close()
            self._workers = None

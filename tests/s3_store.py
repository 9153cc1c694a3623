"""A store that speaks S3 on this machine (moto), which fails when it is told to."""

from __future__ import annotations

import contextlib
import secrets
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

Fault = Callable[[str, str, int], int | None]
"""Given method, path and the number of the request: the status to fail with, or None to serve it."""


@dataclass
class S3Store:
    """The store; `fault` is asked before each request, and `after` before each answer of what was done."""

    url: str
    bucket: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Fault = field(default=lambda method, path, number: None)
    after: Fault = field(default=lambda method, path, number: None)

    def target(self, prefix: str = "") -> str:
        return f"s3://{self.bucket}/{prefix}" if prefix else f"s3://{self.bucket}"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "the-secret-of-somebody",
            "AWS_REGION": "us-east-1",
        }


class _Faulty:
    def __init__(self, app: Any) -> None:
        self._app = app
        self.store: S3Store | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        store = self.store
        if store is None:
            return self._app(environ, start_response)
        with self._lock:
            store.requests.append((method, path))
            number = len(store.requests)
        status = store.fault(method, path, number)
        if status is None:
            status = store.after(method, path, number)
            if status is None:
                return self._app(environ, start_response)
            list(self._app(environ, lambda *_, **__: lambda _: None))
        else:
            # A connection whose request was not read is not answered.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = b"<Error><Code>Injected</Code><Message>this one fails</Message></Error>"
        start_response(f"{status} Injected", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


@contextlib.contextmanager
def s3_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """Run a store with one empty bucket, and point this process and its children at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    app = _Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        store = S3Store(f"http://127.0.0.1:{server.server_port}", f"moc-{secrets.token_hex(6)}")
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        _make_bucket(store)
        app.store = store
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _make_bucket(store: S3Store) -> None:
    import http.client

    connection = http.client.HTTPConnection(store.url.removeprefix("http://"))
    connection.request(
        "PUT",
        f"/{store.bucket}",
        body=b"",
        headers={"Authorization": "AWS4-HMAC-SHA256 Credential=somebody/20260101/us-east-1/s3/aws4_request"},
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()

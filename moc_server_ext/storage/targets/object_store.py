"""A bucket of a store that speaks S3 as a backup target, by way of obstore, which is imported here only.

Owns retries, sizes of parts, and what the store's errors are called. Where the store is and who asks is said by the
standard environment variables (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``,
``AWS_SESSION_TOKEN`` and the like); none of them is kept or told here.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ...abc import Bytes
from ...errors import BackupTargetError, MissingExtraError
from .keys import check_key

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

_PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 2
_READ_BYTES: Final = 1 << 20
_TRIES_NEW: Final = 3
_LIST_KEYS: Final = 1000

_S3_ERROR: Final = re.compile(r"<Code>([^<]{1,100})</Code>(?:\s*<Message>([^<]{1,500})</Message>)?")
_STATUS: Final = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_NO_CREDENTIALS: Final = (
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a store "
    "other than Amazon's)"
)


class ObjectStoreTarget:
    """Objects below a prefix of a bucket: :class:`~.target.Target`.

    Raises
    ------
    MissingExtraError
        obstore is not installed.
    BackupTargetError
        The environment variables make no sense to it.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        try:
            import obstore
            from obstore import store
        except ImportError as error:
            raise MissingExtraError("What speaks S3 (obstore)", extra="s3") from error
        self.url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._obstore = obstore
        self._open = store.S3Store
        self._bucket = bucket
        self._prefix = prefix
        with self._failures("be opened"):
            self._store = self._opened(retries=4)
            # A repeated request could meet what the first one stored.
            self._once = self._opened(retries=0)

    def _opened(self, *, retries: int) -> S3Store:
        retry: RetryConfig = {
            "max_retries": retries,
            "retry_timeout": datetime.timedelta(seconds=60),
            "backoff": {
                "init_backoff": datetime.timedelta(milliseconds=100),
                "max_backoff": datetime.timedelta(seconds=5),
                "base": 2,
            },
        }
        client: ClientConfig = {"connect_timeout": "5s", "read_timeout": "120s", "timeout": "1h"}
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        if endpoint.lower().startswith("http://"):
            # Whoever names such an address wants it: a store on the same machine, or behind a tunnel.
            client["allow_http"] = True
        return self._open(self._bucket, prefix=self._prefix or None, client_options=client, retry_config=retry)

    def put(self, key: str, content: Bytes | Iterable[Bytes]) -> None:
        """Store `content` under `key`, atomically, replacing what was there; durable on return."""
        parts = iter((content,) if isinstance(content, bytes | bytearray | memoryview) else content)
        # What comes in parts goes in parts only if it is large: a small object is one request.
        first = bytearray()
        for part in parts:
            first += part
            if len(first) > _PART_BYTES:
                break
        with self._failures(f"store {key!r}"):
            check_key(key)
            if len(first) <= _PART_BYTES:
                self._obstore.put(self._store, key, bytes(first), use_multipart=False)
                return
            self._obstore.put(
                self._store,
                key,
                map(bytes, itertools.chain((first,), parts)),
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def put_new(self, key: str, content: Bytes) -> bool:
        """Store `content` under `key` if nothing is there, atomically; durable on return. Tell whether it was.

        An answer that is lost is asked for again, and what is found then is taken for one's own if it is the same:
        make what must be told apart different.
        """
        from obstore.exceptions import AlreadyExistsError, BaseError

        for attempt in range(_TRIES_NEW):
            with self._failures(f"store {key!r}"):
                check_key(key)
                try:
                    self._obstore.put(self._once, key, bytes(content), mode="create", use_multipart=False)
                    return True
                except AlreadyExistsError:
                    return attempt > 0 and self.get(key) == bytes(content)
                except BaseError as error:
                    if attempt == _TRIES_NEW - 1 or not _is_passing(error):
                        raise
        raise AssertionError("unreachable")

    def get(self, key: str) -> bytes | None:
        """Read an object; None if there is none."""
        parts = self.read(key)
        return None if parts is None else b"".join(parts)

    def read(self, key: str) -> Iterator[bytes] | None:
        """Read an object in parts of bounded size; None if there is none."""
        with self._failures(f"read {key!r}"):
            found = self._found(key)
        return None if found is None else self._parts(key, found)

    def _parts(self, key: str, found: Any) -> Iterator[bytes]:
        with self._failures(f"read {key!r}"):
            for part in found.stream(min_chunk_size=_READ_BYTES):
                yield bytes(part)

    def _found(self, key: str) -> Any:
        check_key(key)
        try:
            return self._obstore.get(self._store, key)
        except FileNotFoundError as error:
            if _is_no_bucket(error):
                raise
            return None

    def size(self, key: str) -> int | None:
        """Tell the size of an object in bytes; None if there is none."""
        with self._failures(f"look up {key!r}"):
            check_key(key)
            try:
                return self._obstore.head(self._store, key)["size"]
            except FileNotFoundError:
                # The answer to HEAD does not tell a missing object from a missing bucket.
                found = self._found(key)
                return None if found is None else int(found.meta["size"])

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List key and size of all objects whose keys begin with `prefix`, in no order."""
        # The library's prefixes are whole segments.
        above, _, _ = prefix.rpartition("/")
        with self._failures("be listed"):
            if above:
                check_key(above)
            for batch in self._obstore.list(self._store, above or None, chunk_size=_LIST_KEYS):
                for each in batch:
                    if each["path"].startswith(prefix):
                        yield each["path"], each["size"]

    def delete(self, key: str) -> None:
        """Remove an object; idempotent."""
        with self._failures(f"remove {key!r}"):
            check_key(key)
            try:
                self._obstore.delete(self._store, key)
            except FileNotFoundError as error:
                if _is_no_bucket(error):
                    raise

    def close(self) -> None:
        """Let go of connections: the library closes them when the last one who uses them is gone."""

    @contextlib.contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            # Without the cause, which holds whole requests.
            raise BackupTargetError(self.url, _reason(error, self._bucket), what=what) from None


def _is_no_bucket(error: BaseException) -> bool:
    return "NoSuchBucket" in str(error)


def _is_passing(error: BaseException) -> bool:
    found = _STATUS.search(str(error))
    return found is None or found[1].startswith(("5", "429", "408"))


def _reason(error: BaseException, bucket: str) -> str:
    # The library adds whole requests and answers to its messages.
    text = str(error)
    if "169.254.169.254" in text or "169.254.170.2" in text or "credential" in text.lower().partition("<code>")[0]:
        return _NO_CREDENTIALS
    if _is_no_bucket(error):
        return f"there is no bucket {bucket!r}"
    told = _S3_ERROR.search(text)
    if told:
        refuses = (
            "it refuses" if told[1] in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch") else "it failed"
        )
        return f"{refuses} ({told[1]}{f': {told[2].rstrip(chr(46))}' if told[2] else ''})"
    status = _STATUS.search(text)
    if status:
        return f"it answered {status[1].strip()}"
    first = text.partition("\n")[0]
    return (
        f"it does not answer ({first.rpartition(' - ')[2].rstrip('.')})" if "HTTP error" in first else first.rstrip(".")
    )

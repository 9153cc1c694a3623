"""The storage as a store of zarr-python runs zarr's own suites, by itself and as a group of writes."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.storage import Storage

pytestmark = pytest.mark.filterwarnings("ignore")

zarr = pytest.importorskip("zarr")

from hypothesis import HealthCheck, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from zarr.core.buffer import Buffer, cpu  # noqa: E402
from zarr.testing.stateful import ZarrHierarchyStateMachine, ZarrStoreStateMachine  # noqa: E402
from zarr.testing.store import StoreTests  # noqa: E402

from moc_server_ext.storage.zarr_session import ZarrSession  # noqa: E402
from moc_server_ext.storage.zarr_store import StorageStore  # noqa: E402

ROOT = "buffers/tests"


@pytest.fixture
def storage(quick_path: Path) -> Iterator[Storage]:
    with Storage.open(quick_path / "storage") as storage:
        yield storage


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """Give a directory in memory where there is one: zarr's suites set thousands of values, each of them durable."""
    try:
        path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    except OSError:
        yield tmp_path
    else:
        yield path
        shutil.rmtree(path)


def without_coroutines(suite: type) -> type:
    """Let each test of a suite that is a coroutine run in an event loop of its own: pytest itself runs none."""

    def blocking(test: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*arguments: Any, **options: Any) -> None:
            asyncio.run(test(*arguments, **options))

        return run

    for name in dir(suite):
        test = getattr(suite, name)
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            setattr(suite, name, blocking(test))
    return suite


@without_coroutines
class StorageStoreContract(StoreTests[StorageStore, cpu.Buffer]):
    store_cls = StorageStore
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> StorageStore:
        return asyncio.run(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> StorageStore:
        return self.store_cls(**store_kwargs)

    async def set(self, store: StorageStore, key: str, value: Buffer) -> None:
        store._writable.set(f"{ROOT}/{key}", value.to_bytes())

    async def get(self, store: StorageStore, key: str) -> Buffer:
        content = store._keys.read(f"{ROOT}/{key}")
        assert content is not None
        return cpu.Buffer.from_bytes(content)

    def test_serializable_store(self, store: StorageStore) -> None:
        with pytest.raises(TypeError, match="owned by one process"):
            pickle.dumps(store)

    def test_store_repr(self, store: StorageStore) -> None:
        assert repr(store) == f"StorageStore({ROOT!r})"

    def test_store_supports_writes(self, store: StorageStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: StorageStore) -> None:
        assert store.supports_listing


class TestStorageStore(StorageStoreContract):
    @pytest.fixture
    def store_kwargs(self, storage: Storage) -> dict[str, Any]:
        return {"keys": storage.zarr_store()._writable, "path": ROOT}


class TestGroupOfWrites(StorageStoreContract):
    @pytest.fixture
    def store_kwargs(self, storage: Storage) -> Iterator[dict[str, Any]]:
        with storage.zarr_group() as store:
            assert isinstance(store._writable, ZarrSession)
            yield {"keys": store._writable, "path": ROOT}


SETTINGS = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("machine", [ZarrStoreStateMachine, ZarrHierarchyStateMachine])
@pytest.mark.parametrize("grouped", [False, True])
def test_any_sequence_of_operations_leaves_what_zarrs_model_has(storage: Storage, machine: Any, grouped: bool) -> None:
    if grouped:
        with storage.zarr_group(ROOT) as store:
            run_state_machine_as_test(lambda: machine(store), settings=SETTINGS)
    else:
        run_state_machine_as_test(lambda: machine(storage.zarr_store(ROOT)), settings=SETTINGS)

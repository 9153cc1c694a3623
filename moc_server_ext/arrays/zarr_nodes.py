"""Arrays and groups of zarr: taken apart to be stored here, and opened where they are stored.

zarr is imported when there is something to do for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..abc import Hierarchy
from ..errors import InvalidInputError
from ..model import ArraySpec
from .document import METADATA, MOC, array_document, with_facts
from .elements import as_elements, describe
from .runs import filled_chunk, grid_slices
from .selection import parse_selection

if TYPE_CHECKING:
    import zarr


def is_array(value: Any) -> bool:
    """Tell whether `value` is an array of zarr."""
    zarr = sys.modules.get("zarr")
    return zarr is not None and isinstance(value, zarr.Array)


def is_group(value: Any) -> bool:
    """Tell whether `value` is a group of zarr."""
    zarr = sys.modules.get("zarr")
    return zarr is not None and isinstance(value, zarr.Group)


def array_entries(
    array: zarr.Array[Any],
    facts: Mapping[str, Any],
    *,
    chunks: Sequence[int] | None = None,
    dims: Sequence[str | None] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Give an array as a node of its own: plain, with the same chunks, of which one at a time is in memory.

    Parameters
    ----------
    facts
        What moc itself is to say of it.
    chunks, dims, attributes
        In the place of the array's own.

    Raises
    ------
    InvalidInputError
        Its elements cannot be stored, or its attributes are no JSON.
    """
    import numpy

    template, found = as_elements(numpy.empty((0,) * array.ndim, array.dtype))
    kept = {name: value for name, value in dict(array.attrs).items() if name not in (MOC, "_ARRAY_DIMENSIONS")}
    spec = describe_like(
        template,
        array.shape,
        chunks or tuple(max(each, 1) for each in array.chunks),
        dims or _dimension_names(array),
        {**kept, **found} if attributes is None else {**attributes, **found},
    )
    yield METADATA, array_document(spec, facts)
    for key, slices in zip(spec.chunk_keys(), grid_slices(spec), strict=True):
        block = as_elements(numpy.asarray(array[slices]))[0]
        yield key, filled_chunk(spec, block)


def describe_like(
    template: Any,
    shape: tuple[int, ...],
    chunks: Sequence[int] | None,
    dims: Sequence[str | None] | None,
    attributes: Mapping[str, Any],
) -> ArraySpec:
    """Tell what an array of `shape` with the elements of `template` is."""
    import numpy

    # Of no elements: whatever its shape, it takes no memory.
    return describe(
        numpy.broadcast_to(numpy.zeros((), template.dtype), shape), chunks=chunks, dims=dims, attributes=attributes
    )


def group_entries(group: zarr.Group, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Give a group as a node of its own: every key below it as it is, one at a time in memory.

    Raises
    ------
    InvalidInputError
        It is of an older version of Zarr.
    """
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    if group.metadata.zarr_format != 3:
        raise InvalidInputError(
            "The group is of Zarr v2, and groups are stored as Zarr v3. Convert it first, such as with "
            "xarray.open_zarr(…), or store its arrays one by one."
        )
    store, prefix = group.store, f"{group.path}/" if group.path else ""

    async def list_keys() -> list[str]:
        return [key async for key in store.list_prefix(prefix)]

    prototype = default_buffer_prototype()
    document = sync(store.get(prefix + METADATA, prototype))
    yield METADATA, with_facts(b"" if document is None else document.to_bytes(), facts)
    for key in sync(list_keys()):
        content = sync(store.get(key, prototype)) if key != prefix + METADATA else None
        # What was removed meanwhile is no part of it any more.
        if content is not None:
            yield key[len(prefix) :], content.to_bytes()


def hierarchy_entries(hierarchy: Hierarchy, path: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Give a stored group as a node of its own, one key at a time in memory."""
    prefix = f"{path}/"
    after: str | None = None
    while keys := hierarchy.list(prefix, after=after):
        for key in keys:
            content = hierarchy.read(key)
            if content is not None:
                is_root = key == prefix + METADATA
                yield key[len(prefix) :], with_facts(content, facts) if is_root else content
        after = keys[-1]


def open_node(hierarchy: Hierarchy, path: str, *, whole: bool = False) -> zarr.Array[Any] | zarr.Group:
    """Open a stored node for reading; of an array that is `whole` a missing chunk is damage."""
    import zarr

    from .hierarchy_store import HierarchyStore

    return zarr.open(HierarchyStore(hierarchy, path, whole=whole), mode="r", zarr_format=3)


class ZarrReader:
    """Reads an array that is not stored plainly, by way of zarr, with the face of :class:`.reader.ArrayReader`."""

    def __init__(self, hierarchy: Hierarchy, path: str, spec: ArraySpec, *, whole: bool = False) -> None:
        self.spec = spec
        self._array: Any = open_node(hierarchy, path, whole=whole)

    def read(self, selection: Any = ...) -> Any:
        """Give what ``array[selection]`` is; see :meth:`.reader.ArrayReader.read`."""
        import numpy

        parsed = parse_selection(selection, self._array.shape)
        # Zarr knows no steps backwards.
        runs = [(min(r.start, r.start + (r.count - 1) * r.step), abs(r.step), r.count) for r in parsed.runs]
        slices = tuple(
            slice(low, low + (count - 1) * step + 1, step) if count else slice(0, 0) for low, step, count in runs
        )
        found = numpy.asarray(self._array[slices])
        found = found[tuple(slice(None, None, -1 if run.step < 0 else 1) for run in parsed.runs)]
        shaped = found.reshape(parsed.shape)
        return shaped[()] if parsed.is_scalar else shaped

    def blocks(self) -> Iterator[tuple[tuple[slice, ...], Any]]:
        """Go through the array chunk by chunk; see :meth:`.reader.ArrayReader.blocks`."""
        for slices in grid_slices(self.spec):
            yield slices, self.read((*slices, ...))


def _dimension_names(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    names: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(names) if names else None

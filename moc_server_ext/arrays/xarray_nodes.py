"""xarray's objects as nodes of Zarr: written as xarray writes them, by the CF conventions, and opened again.

xarray is an extra: it is imported when there is something to do for it.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..abc import Hierarchy
from ..errors import InvalidInputError, MissingExtraError
from ..model import ArraySpec
from ..model.arrays import ITEM_BYTES, default_chunks
from .document import METADATA, MOC, own_facts, parse_document, with_facts

if TYPE_CHECKING:
    import numpy

# What xarray itself calls an array without a name when it stores one.
_NAMELESS: Final = "__xarray_dataarray_variable__"


def is_dataset(value: Any) -> bool:
    """Tell whether `value` is a Dataset."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.Dataset)


def is_data_array(value: Any) -> bool:
    """Tell whether `value` is a DataArray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def import_xarray() -> Any:
    """Give xarray; MissingExtraError says how to install it."""
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError("xarray", extra="xarray") from error
    return xarray


def entries_of(value: Any, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Give a Dataset or a DataArray as a group of plain arrays; of large ones only a part is in memory at a time.

    Parameters
    ----------
    facts
        What moc itself is to say of it; that of a DataArray gets its ``main``.

    Raises
    ------
    InvalidInputError
        xarray cannot write it as Zarr, and says why.
    """
    import zarr

    facts = dict(facts)
    dataset = value
    if is_data_array(value):
        facts["main"] = _NAMELESS if value.name is None or value.name in value.coords else str(value.name)
        dataset = value.to_dataset(name=facts["main"])
    dataset = dataset.drop_encoding()
    encoding: dict[Any, dict[str, Any]] = {name: {"compressors": None} for name in dataset.variables}
    for name, variable in dataset.variables.items():
        kind = "int64" if variable.dtype.kind in "mM" else variable.dtype.name
        # Lazy ones keep the chunks that they are computed in.
        if kind in ITEM_BYTES and variable.chunks is None and variable.ndim:
            encoding[name]["chunks"] = default_chunks(kind, variable.shape)
        if variable.dtype.kind == "f":
            # NaN is NaN: xarray would say so in an attribute, which then seems to be the maker's.
            encoding[name]["_FillValue"] = None
    with tempfile.TemporaryDirectory(prefix="moc-") as directory:
        with warnings.catch_warnings(), zarr.config.set({"array.write_empty_chunks": True}):
            # Text is a data type that Zarr's specification has no word for yet; zarr and xarray read it.
            warnings.filterwarnings("ignore", message="(?s).*does not have a Zarr V3 specification.*")
            try:
                dataset.to_zarr(directory, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
            except (TypeError, ValueError, NotImplementedError) as error:
                raise InvalidInputError(f"xarray cannot write this as Zarr: {error}") from error
        root = Path(directory)
        yield METADATA, with_facts((root / METADATA).read_bytes(), facts)
        for path in sorted(root.rglob("*")):
            if path.is_file() and path != root / METADATA:
                yield path.relative_to(root).as_posix(), path.read_bytes()


def open_group(hierarchy: Hierarchy, path: str, *, load: bool) -> Any:
    """Open a stored group as a Dataset, or as a DataArray if it has a main array.

    Parameters
    ----------
    load
        Whether to read all of it; else it is read when it is used, as it is then.
    """
    xarray = import_xarray()
    from .hierarchy_store import HierarchyStore

    content = hierarchy.read(f"{path}/{METADATA}")
    document = parse_document(content or b"")
    dataset = xarray.open_zarr(
        HierarchyStore(hierarchy, path), consolidated="consolidated_metadata" in document, chunks=None
    )
    dataset.attrs.pop(MOC, None)
    for variable in dataset.variables.values():
        variable.attrs.pop(MOC, None)
    found = dataset
    main = own_facts(document).get("main")
    if main is not None:
        found = dataset[main]
        found.name = None if main == _NAMELESS else main
    return found.load() if load else found


def data_array(name: str, spec: ArraySpec, elements: numpy.ndarray[Any, Any]) -> Any:
    """Give a plain array as a DataArray; times are decoded by the CF conventions."""
    xarray = import_xarray()
    dims = dimensions_of(spec)
    dataset = xarray.Dataset({_NAMELESS: (dims, elements, dict(spec.attributes))})
    return xarray.decode_cf(dataset)[_NAMELESS].rename(name)


def dimensions_of(spec: ArraySpec) -> tuple[str, ...]:
    """Name the axes, those without a name as xarray does: ``dim_0`` and so on."""
    names = spec.dimension_names or (None,) * spec.ndim
    return tuple(name or f"dim_{axis}" for axis, name in enumerate(names))

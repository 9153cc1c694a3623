"""A stored buffer as something to be stored again: bytes, arrays and groups, under another name or elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from ..abc import Platform
from ..arrays.zarr_nodes import hierarchy_entries
from ..model import ArraySpec, BufferRecord, parse_array
from .parts import SizedParts
from .reading import is_group, main_of, node_path, replaced_error
from .values import Given, Labels, as_facts

T = TypeVar("T")


def given_of(
    platform: Platform,
    name: str,
    labels: Labels,
    *,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Given:
    """Say how the content of a stored buffer is to be stored; all of it is of one version.

    Parameters
    ----------
    platform
        Where it is stored, which need not be where it goes.
    content_type, headers, labels
        In the place of its own.

    Raises
    ------
    BufferNotFoundError
        There is none.
    InvalidInputError
        Labels are given for a group or for bytes.
    """
    record = platform.buffers.stat(name)
    if is_group(platform, record):
        labels.refuse_for("a group of arrays, which have their own")
        kept = {"content_type": record.content_type, "headers": dict(record.headers)}
        main = main_of(platform, record)
        facts = {**kept, **({} if main is None else {"main": main}), **as_facts(content_type, headers)}
        entries = hierarchy_entries(platform.zarr, node_path(name), facts)
        return Given(entries=_of_one_version(platform, record, entries), origin=record.origin)
    spec = None if record.array is None else _labelled(record.array, labels)
    if spec is None:
        labels.refuse_for_bytes()
    return Given(
        SizedParts(_of_one_version(platform, record, platform.buffers.parts(name)), record.size),
        array=spec,
        content_type=record.content_type if content_type is None else content_type,
        headers=record.headers if headers is None else headers,
        origin=record.origin,
    )


def _labelled(array: ArraySpec, labels: Labels) -> ArraySpec:
    return parse_array(
        array.dtype,
        array.shape,
        array.chunks if labels.chunks is None else labels.chunks,
        dimension_names=array.dimension_names if labels.dims is None else labels.dims,
        attributes=array.attributes if labels.attributes is None else labels.attributes,
    )


def _of_one_version(platform: Platform, record: BufferRecord, parts: Iterable[T]) -> Iterator[T]:
    """Give the parts of a buffer; ConflictError behind the last one if it was replaced meanwhile."""
    yield from parts
    if platform.buffers.stat(record.name) != record:
        raise replaced_error(record.name)

"""Map-reduce gives what ``cat | map | LC_ALL=C sort -s -t<TAB> -k1,1 | reduce`` gives with native programs.

The programs are the shipped C samples, built by the machine's own C compiler for the native side, and scripts in
Python for a second native side that shares no line with them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import MapReduce
from moc_server_ext.plans.wait import wait

SAMPLES = Path(__file__).parents[2] / "samples" / "c"
PROGRAMS = ("wordcount-map", "wordcount-reduce", "uppercase")
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)

PYTHON_MAP = r"""
import re, sys
for word in re.findall(rb"[a-zA-Z0-9]+", sys.stdin.buffer.read()):
    sys.stdout.buffer.write(word.lower() + b"\t1\n")
"""
PYTHON_REDUCE = r"""
import sys
from itertools import groupby
lines = (line.rstrip(b"\n").split(b"\t") for line in sys.stdin.buffer)
for key, group in groupby(lines, key=lambda line: line[0]):
    sys.stdout.buffer.write(b"%s\t%d\n" % (key, sum(int(line[1]) for line in group)))
"""

LINE = st.one_of(
    st.lists(st.sampled_from([b"a", b"B", b"word", b"_9", b" ", b".", b"\t", b"\xc3\xa9", b"\0", b"\r"])).map(b"".join),
    st.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")),
    st.integers(1, 3).map(lambda times: b"long line " * 50 * times),
    st.just(b""),
)
TEXT = st.tuples(st.lists(LINE, max_size=30), st.booleans()).map(
    lambda each: b"\n".join([*each[0], b""] if each[1] else each[0])
)
SHAPE = st.fixed_dictionaries(
    {"split_bytes": st.sampled_from([1, 7, 64, 4096]), "partitions": st.integers(1, 6), "threads": st.integers(1, 3)}
)
FIXED = (HealthCheck.function_scoped_fixture,)


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = tmp_path_factory.mktemp("mapreduce")
    with Cluster.open(base / "storage", cache_directory=base / "cache") as cluster:
        for name in PROGRAMS:
            cluster.functions.put(name, (SAMPLES / name / f"{name}.wasm").read_bytes())
        yield cluster


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    if COMPILER is None or shutil.which("sort") is None:
        pytest.skip("needs a C compiler and sort, to run the programs natively")
    directory = tmp_path_factory.mktemp("native")
    for name in PROGRAMS:
        subprocess.run([COMPILER, "-O1", "-o", directory / name, SAMPLES / name / f"{name}.c"], check=True)
    return {name: [str(directory / name)] for name in PROGRAMS}


def pipeline(text: bytes, map: Sequence[str], reduce: Sequence[str] | None) -> bytes:
    """Run the programs natively, one after the other."""
    sort = ["sort", "-s", "-t\t", "-k1,1"]
    for program in filter(None, (map, sort, reduce)):
        done = subprocess.run(program, input=text, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})
        text = done.stdout
    return text


def run(moc: Cluster, text: bytes, plan: dict[str, object]) -> bytes:
    moc.buffers.put("text", text)
    record = wait(moc.runs, moc.runs.start(MapReduce.from_json({"source": "text", **plan})).run_id)
    return moc.runs.output(record.run_id)


@settings(max_examples=60, deadline=None, suppress_health_check=FIXED)
@given(text=TEXT, shape=SHAPE, combine=st.sampled_from([None, "wordcount-reduce"]))
def test_a_word_count_equals_the_native_pipeline(
    moc: Cluster, native: dict[str, list[str]], text: bytes, shape: dict[str, int], combine: str | None
) -> None:
    expected = pipeline(text, native["wordcount-map"], native["wordcount-reduce"])
    plan = {"map": "wordcount-map", "combine": combine, "reduce": "wordcount-reduce", **shape}
    assert run(moc, text, plan) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=FIXED)
@given(text=TEXT, shape=SHAPE, reduce=st.sampled_from([None, "uppercase"]))
def test_any_bytes_are_sorted_as_the_native_pipeline_sorts_them(
    moc: Cluster, native: dict[str, list[str]], text: bytes, shape: dict[str, int], reduce: str | None
) -> None:
    expected = pipeline(text, native["uppercase"], native[reduce] if reduce else None)
    assert run(moc, text, {"map": "uppercase", "reduce": reduce, **shape}) == expected


@settings(max_examples=30, deadline=None, suppress_health_check=FIXED)
@given(text=TEXT, shape=SHAPE)
def test_a_word_count_equals_counting_in_python(moc: Cluster, text: bytes, shape: dict[str, int]) -> None:
    counts = Counter(word.lower() for word in re.findall(rb"[a-zA-Z0-9]+", text))
    expected = b"".join(b"%s\t%d\n" % (word, counts[word]) for word in sorted(counts))
    assert run(moc, text, {"map": "wordcount-map", "reduce": "wordcount-reduce", **shape}) == expected


@pytest.mark.parametrize("shape", [{"partitions": 1, "threads": 1}, {"partitions": 7, "threads": 4}])
def test_a_real_text_equals_native_scripts(moc: Cluster, shape: dict[str, int]) -> None:
    if shutil.which("sort") is None:
        pytest.skip("needs sort")
    from pydoc_data.topics import topics

    text = "\n".join(topics.values()).encode()
    expected = pipeline(text, [sys.executable, "-c", PYTHON_MAP], [sys.executable, "-c", PYTHON_REDUCE])
    plan = {"map": "wordcount-map", "combine": "wordcount-reduce", "reduce": "wordcount-reduce", "split_bytes": 40_000}
    assert run(moc, text, {**plan, **shape}) == expected

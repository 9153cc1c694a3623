"""The word count: moc's map-reduce against the same two C programs in a pipe, and against plain Python."""

from __future__ import annotations

import pydoc_data.topics
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from moc_server_ext.model import MapReduce
from moc_server_ext.plans.wait import wait

from .harness import Comparison, compare
from .runtime import SAMPLES, cluster, sample

COPIES = 8
WORD = re.compile(rb"[a-z0-9_]+")


def run() -> list[Comparison]:
    """Count the words of CPython's help topics, several times over."""
    text = "\n".join(pydoc_data.topics.topics.values()).encode() * COPIES
    with cluster() as moc, tempfile.TemporaryDirectory() as directory:
        moc.buffers.put("topics", text, "text/plain")
        for name in ("wordcount-map", "wordcount-reduce"):
            moc.functions.put(name, sample(name))
        plan = MapReduce(
            "topics", "wordcount-map", combine="wordcount-reduce", reduce="wordcount-reduce", split_bytes=512 << 10
        )

        def ours() -> bytes:
            record = moc.runs.start(plan)
            wait(moc.runs, record.run_id)
            return moc.runs.output(record.run_id)

        results = [
            compare(
                f"word count, {len(text) / 1e6:.1f} MB, {plan.split_bytes >> 10} KB splits",
                ours,
                "collections.Counter over re.findall",
                lambda: Counter(WORD.findall(text.lower())),
                rounds=5,
                count=1,
            )
        ]
        compiler = shutil.which("cc")
        if compiler:
            for name in ("wordcount-map", "wordcount-reduce"):
                source = next(SAMPLES.glob(f"c/**/{name}.c"))
                subprocess.run([compiler, "-Os", "-o", f"{directory}/{name}", source], check=True)
            (Path(directory) / "text").write_bytes(text)
            pipe = "./wordcount-map < text | LC_ALL=C sort -s -t'\t' -k1,1 | ./wordcount-reduce"

            def native() -> bytes:
                return subprocess.run(["sh", "-c", pipe], cwd=directory, check=True, capture_output=True).stdout

            if native() != ours():
                raise RuntimeError("moc and the native pipe disagree")
            results.append(
                compare("the same", ours, "native C programs in a pipe with sort", native, rounds=5, count=1)
            )
        return results

"""The main job, once: register the samples, call them, count the words of a real text, compile C (see `make run`).

Every answer is checked; a wrong one ends with exit code 1. It works on the storage itself, or as a client of the server
that owns it.
"""

from __future__ import annotations

import argparse
import json
import platform
import pydoc_data.topics
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from moc_server_ext.client import connect
from moc_server_ext.client.client import Client
from moc_server_ext.compilers import compiler_for_file
from moc_server_ext.errors import MocError
from moc_server_ext.model import Declaration

SAMPLES = Path(__file__).parent
WORD = re.compile(rb"[A-Za-z0-9]+")


class Report:
    """Prints one line a step: what was done, what came out, how long it took."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.right = True
        self._begin = time.perf_counter()

    def step(self, verb: str, text: str) -> None:
        """Print a step that took the time since the one before."""
        took = time.perf_counter() - self._begin
        duration = f"{took * 1e3:.1f} ms" if took < 1 else f"{took:.1f} s"
        self.console.print(f"  [bold]{verb:<11}[/bold] {text}  [dim]{duration}[/dim]", soft_wrap=True)
        self._begin = time.perf_counter()

    @contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes its time: as a spinner in a terminal, elsewhere as lines."""
        with self.console.status(f"{what} …") as status:

            def say(text: str) -> None:
                if self.console.is_terminal:
                    status.update(f"{text} …")
                else:
                    print(f"  {text} …", flush=True)

            yield say

    def check(self, what: str, right: bool) -> None:
        """Print whether an answer is what it must be."""
        self.console.print(f"  {'':<11} {what}: {'[green]yes[/green]' if right else '[red]NO[/red]'}")
        self.right &= right
        self._begin = time.perf_counter()


def register(moc: Client) -> list[str]:
    """Register the shipped modules of all samples; one that is there already, unchanged, is left as it is."""
    samples = json.loads((SAMPLES / "manifest.json").read_text())["samples"]
    for sample in samples:
        content = (SAMPLES / sample["wasm"]).read_bytes()
        moc.platform.functions.put(sample["name"], content, Declaration.from_json(sample.get("declaration", {})))
    return [sample["name"] for sample in samples]


def count_words(moc: Client, report: Report) -> None:
    """Count the words of the help texts that every CPython ships, and compare with Python's own count."""
    text = "\n".join(pydoc_data.topics.topics.values()).encode()
    moc.buffers["topics"] = text
    output = moc.mapreduce(
        "topics", map="wordcount-map", combine="wordcount-reduce", reduce="wordcount-reduce", split_bytes=64 << 10
    )
    pairs = (line.split(b"\t") for line in output.splitlines())
    counts = Counter({word: int(count) for word, count in pairs})
    top = ", ".join(f"{word.decode()} {count:,}" for word, count in counts.most_common(4))
    report.step("counted", f"{counts.total():,} words of {len(text):,} bytes, {len(counts):,} different: {top}, …")
    report.check("equal to collections.Counter", counts == Counter(WORD.findall(text.lower())))


def compile_and_call(moc: Client, report: Report) -> None:
    """Compile a sample from its C source, register and call it."""
    source = SAMPLES / "c" / "uppercase" / "uppercase.c"
    with report.waiting("compiling") as say:
        compiled = compiler_for_file(source).compile(source.read_text(), filename=source.name, progress=say)
    report.step("compiled", f"{source.name} → {len(compiled.content):,} bytes of WebAssembly")
    moc.platform.functions.put("uppercase", compiled.content)
    answer = moc.functions["uppercase"](b"my own cluster")
    report.step("called", f"uppercase(b'my own cluster') → {answer!r}")
    report.check("the right answer", answer == b"MY OWN CLUSTER")


def main() -> int:
    """Do the job; see the module's documentation."""
    parser = argparse.ArgumentParser(description="Register the samples and do moc's main job once.")
    parser.add_argument("--storage", help="storage directory (default: $MOC_STORAGE, else the user's data directory)")
    parser.add_argument("--register-only", action="store_true", help="only register the shipped samples")
    options = parser.parse_args()
    report = Report()
    try:
        moc = connect(storage=options.storage)
        try:
            names = register(moc)
            if options.register_only:
                return 0
            report.console.print(f"\n[bold]My Own Cluster[/bold] on Python {platform.python_version()}, {moc.origin}\n")
            report.step("registered", ", ".join(names))
            greeting = moc.call("cowsay", "moc").output.decode()
            report.step("called", "cowsay moc")
            report.console.print(greeting, highlight=False, markup=False)
            count_words(moc, report)
            compile_and_call(moc, report)
            report.console.print()
        finally:
            moc.close()
    except MocError as error:
        print(f"moc: error[{error.code}]: {error.message}", file=sys.stderr)
        return 1
    return 0 if report.right else 1


if __name__ == "__main__":
    sys.exit(main())

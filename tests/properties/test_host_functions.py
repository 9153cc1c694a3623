"""Every host function, called by a real guest with the values that break things: refused by number, or the call ends.

The guest is an interpreter: its input is a script of host calls, so that one module reaches all functions with any
arguments, in any order, and what one call leaves behind is there for the next. What a script may overwrite (its own
rest included) it may: no byte that comes from a guest is more trusted than another.
"""

from __future__ import annotations

import resource
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.guest_api.registry import GuestModule, HostFunction
from moc_server_ext.model import CallRequest, Declaration, Grants, Limits, Mode

PAGE = 1 << 16
MEMORY = 2 * PAGE
NAMES, PATHS, VECTORS, SUBSCRIPTIONS, SCRATCH = 1024, 1536, 2048, 3072, 8192
RECORD = struct.Struct("<q15q")
STEPS = PAGE // RECORD.size

FUNCTIONS: list[tuple[GuestModule, HostFunction]] = [
    (module, function) for module in (CORE, PREVIEW1, UNSTABLE) for function in module.functions.values()
]
POKE = len(FUNCTIONS)
NAMES_OF_STEPS = [*(f"{module.name}.{function.name}" for module, function in FUNCTIONS), "poke"]
LIMITS = Limits(
    memory_bytes=4 * MEMORY, timeout_seconds=0.3, output_bytes=1 << 20, stderr_bytes=1 << 16, scratch_bytes=4 << 20
)

SMALL = [0, 1, 2, 3, 4, 5, 8, 13, 24, 100]
SCHEMES = [PATHS + 128 + 16 * each for each in range(4)]
PLACES = [
    NAMES,
    PATHS,
    PATHS + 16,
    *SCHEMES,
    VECTORS,
    VECTORS + 8,
    VECTORS + 16,
    SUBSCRIPTIONS,
    SCRATCH,
    PAGE - 1,
    PAGE,
]
EDGES = [-1, -2, (1 << 31) - 1, -(1 << 31), MEMORY - 8, MEMORY - 1, MEMORY, MEMORY + 1]
TEXTS = (b"echo", b"hostile", b"direct", b"posix", b"run", b"key", b"YWJjZA==", b"content-type", b"text/plain",
         b"application/wasm", b"\0asm\1\0\0\0", b"number", b'[{"change": "increment", "key": "n"}]', b"")  # fmt: skip
WIDE = [*SMALL, *EDGES, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, -(1 << 63)]


def text(content: bytes) -> tuple[int, int]:
    """Give pointer and length of one of the texts in the guest's memory."""
    before = TEXTS[: TEXTS.index(content)]
    return NAMES + sum(map(len, before)), len(content)


# Arguments with which functions that need several right ones at once do what they are there for.
RIGHT = {
    "call_function": (*text(b"echo"), 0, 0, 0, 0, *text(b"posix"), 1, 2, 0, 0, 0, 0),
    "register_blob_with_name": (*text(b"key"), *text(b"application/wasm"), *text(b"\0asm\1\0\0\0")),
    "register_blob": (*text(b"text/plain"), SCRATCH, 100),
    "get_blob_tech_id_from_name": text(b"echo"),
    "get_blob_bytes_as_string": text(b"echo"),
    "persistence_set": (*text(b"key"), SCRATCH, 100),
    "persistence_get": text(b"key"),
    "persistence_delete": text(b"key"),
    "persistence_compare_and_set": (*text(b"key"), SCRATCH, 100, SCRATCH, 100),
    "persistence_increment": (*text(b"number"), SCRATCH, 8),
    "persistence_list": (*text(b""), *text(b""), 10),
    "persistence_apply": text(b'[{"change": "increment", "key": "n"}]'),
    "log": (3, *text(b"hostile")),
}


def interpreter() -> bytes:
    """Make the guest."""
    imports, wrappers = [], []
    for index, (module, function) in enumerate(FUNCTIONS):
        signature = function.signature
        types = "".join(f"(param {each})" for each in signature.params)
        types += "".join(f"(result {each})" for each in signature.results)
        imports.append(f'(import "{module.name}" "{function.name}" (func $f{index} {types}))')
        arguments = " ".join(
            f"({'i64.load' if kind == 'i64' else 'i32.load'} offset={8 + 8 * at} (local.get 0))"
            for at, kind in enumerate(signature.params)
        )
        body = f"(call $f{index} {arguments})"
        if function.name == "call_function":
            body = f"(drop {body})"  # gives whatever its callee gives
        elif signature.results:
            # What is no number of the contract is a trap, which no test expects.
            if module.negative_errors:
                wrong = "(i32.lt_s (local.get $n) (i32.const 0))"
                for each in function.errors:
                    wrong = f"(i32.and {wrong} (i32.ne (local.get $n) (i32.const {-each})))"
            else:
                wrong = f"(i32.gt_u (local.get $n) (i32.const {max(Errno)}))"
            body = f"(local $n i32) (local.set $n {body}) (if {wrong} (then unreachable))"
        wrappers.append(f"(func $w{index} (param i32) {body})")
    poke = (
        f"(func $w{POKE} (param i32) (i64.store (i32.and (i32.load offset=8 (local.get 0)) (i32.const {PAGE - 16}))"
        " (i64.load offset=16 (local.get 0))))"
    )
    read = next(
        index for index, (module, each) in enumerate(FUNCTIONS) if module is PREVIEW1 and each.name == "fd_read"
    )
    return wat_to_wasm(f"""(module
      {"".join(imports)}
      (type $step (func (param i32)))
      (memory (export "memory") 2)
      (table {POKE + 1} funcref)
      (elem (i32.const 0) {" ".join(f"$w{index}" for index in range(POKE + 1))})
      {"".join(wrappers)} {poke}
      {data(NAMES, b"".join(TEXTS))}
      {data(PATHS, b"/tmp/a".ljust(16, b"/") + b"../../../api://output..api://input".ljust(64, b"x"))}
      {
        data(
            SCHEMES[0],
            b"".join(each.ljust(16, b"/") for each in (b"kv://key", b"buffer:x", b"blob:key", b"call:////echo")),
        )
    }
      {
        data(
            VECTORS,
            struct.pack(
                "<16I",
                SCRATCH,
                64,
                MEMORY - 1,
                1,
                MEMORY,
                0,
                MEMORY - 1,
                2,
                0xFFFFFFFF,
                0xFFFFFFFF,
                0,
                MEMORY,
                0,
                MEMORY,
                0x80000000,
                0x80000000,
            ),
        )
    }
      {
        data(
            SUBSCRIPTIONS,
            struct.pack("<QB7xI4xQQH6x", 7, 0, 0, 0, 0, 0)
            + struct.pack("<QB7xI4xQQH6x", 8, 0, 1, 1 << 63, 0, 0)
            + struct.pack("<QB7xI28x", 9, 1, 0)
            + struct.pack("<QB7xI28x", 9, 2, 0xFFFFFFFF),
        )
    }
      (func (export "_start") (local $at i32) (local $left i32)
        (i32.store (i32.const 16) (i32.const {PAGE}))
        (i32.store (i32.const 20) (i32.const {PAGE}))
        (drop (call $f{read} (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
        (local.set $left (i32.div_u (i32.load (i32.const 24)) (i32.const {RECORD.size})))
        (local.set $at (i32.const {PAGE}))
        (loop $next (if (local.get $left) (then
          (call_indirect (type $step) (local.get $at)
            (i32.rem_u (i32.load (local.get $at)) (i32.const {POKE + 1})))
          (local.set $at (i32.add (local.get $at) (i32.const {RECORD.size})))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $next))))))""")


def data(at: int, content: bytes) -> str:
    """Make a data segment."""
    text = "".join(f"\\{byte:02x}" for byte in content)
    return f'(data (i32.const {at}) "{text}")'


ECHO = wat_to_wasm("""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\04\\00\\00\\00") (data (i32.const 16) "here")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))""")


@dataclass(frozen=True)
class Step:
    """One host call, or a poke into memory."""

    index: int
    arguments: tuple[int, ...]

    def __repr__(self) -> str:
        return f"{NAMES_OF_STEPS[self.index]}{self.arguments}"

    def encode(self) -> bytes:
        """Give the record that the interpreter reads."""
        return RECORD.pack(self.index, *(self.arguments + (0,) * 15)[:15])


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("host-functions")
    with Cluster.open(root / "storage", limits=LIMITS, cache_directory=root / "modules") as cluster:
        grants = Grants(frozenset({"kv", "call", "blob", "register", "status", "export"}))
        cluster.functions.put("hostile", interpreter(), Declaration(grants=grants))
        cluster.functions.put("granted-nothing", interpreter())
        cluster.functions.put("echo", ECHO)
        cluster.kv.set(b"key", b"kept")
        yield cluster


def play(moc: Cluster, steps: Sequence[Step], *, mode: Mode = Mode.POSIX, function: str = "hostile") -> None:
    """Run a script: whatever it does, the guest's end is its own, and the next call works."""
    script = b"".join(each.encode() for each in steps)
    with suppress(LimitExceededError):
        moc.call_sync(CallRequest(function, mode=mode, entry="_start", input=script))
    assert moc.call_sync(CallRequest("echo")).output == b"here"


def stored(moc: Cluster) -> object:
    """What a call could have changed outside of itself."""
    return moc.functions.list(), {key: moc.kv.get(key) for key in moc.kv.list()}, moc.buffers.list()


def resident_bytes() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize("index", range(POKE), ids=NAMES_OF_STEPS[:POKE])
def test_each_function_takes_any_value_in_any_place(moc: Cluster, index: int) -> None:
    kinds = FUNCTIONS[index][1].signature.params
    steps = []
    bases = [(base,) * len(kinds) for base in (0, 1, 3, 4, VECTORS, NAMES)]
    if FUNCTIONS[index][1].name in RIGHT:
        bases.append(RIGHT[FUNCTIONS[index][1].name])
    for base in bases:
        steps.append(Step(index, base))
        for place, kind in enumerate(kinds):
            for value in WIDE if kind == "i64" else [*SMALL, *PLACES, *EDGES]:
                steps.append(Step(index, (*base[:place], value, *base[place + 1 :])))
    steps += [Step(index, (value,) * len(kinds)) for value in EDGES]
    before = resident_bytes()
    for start in range(0, len(steps), STEPS):
        play(moc, steps[start : start + STEPS])
    assert resident_bytes() - before < 64 << 20


def arguments_of(index: int) -> st.SearchStrategy[Step]:
    """Make steps of one function, with values near what it wants and far from it."""
    if index == POKE:
        wide = st.one_of(st.sampled_from(WIDE), st.integers(-(1 << 63), (1 << 63) - 1))
        return st.tuples(st.integers(0, PAGE), wide).map(lambda each: Step(POKE, each))
    narrow = st.one_of(st.sampled_from(SMALL), st.sampled_from(PLACES), st.sampled_from(EDGES))
    values = [st.sampled_from(WIDE) if kind == "i64" else narrow for kind in FUNCTIONS[index][1].signature.params]
    return st.tuples(*values).map(lambda each: Step(index, each))


@settings(
    max_examples=250,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(
    steps=st.lists(st.integers(0, POKE).flatmap(arguments_of), min_size=1, max_size=40),
    mode=st.sampled_from(list(Mode)),
)
def test_no_order_of_calls_makes_the_host_fail(moc: Cluster, steps: list[Step], mode: Mode) -> None:
    play(moc, steps, mode=mode)


@settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(st.integers(0, POKE).flatmap(arguments_of), min_size=1, max_size=40))
def test_what_has_no_grant_leaves_no_trace(moc: Cluster, steps: list[Step]) -> None:
    before = stored(moc)
    play(moc, steps, function="granted-nothing")
    assert stored(moc) == before

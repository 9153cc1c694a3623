"""Any sequence of file operations gives the same results in our private tree, in our host directory, on wasmtime's own
WASI, and by the host itself where it has the operation: a program in C does what Hypothesis wrote.

The scripts keep away from the few `DIFFERENCES` that there are. Hundreds of them here, endlessly many by ``make fuzz``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import bounded
from wasi_os import on_the_host, tree_of
from wasi_places import Place
from wasi_scripts import answers, first_difference, operations, plain_paths, scripts

pytestmark = pytest.mark.fuzz
Answers = list[tuple[bytes, ...]]


def run(place: Place, program: bytes, script: list[bytes]) -> tuple[Answers, Path | None]:
    ended = place.run(program, input=b"\n".join(script))
    assert ended.exit_code == 0
    return answers(ended.output), ended.root


@pytest.mark.parametrize("place", ["private", "host"])
def test_a_script_gives_what_it_gives_on_wasmtimes_own_wasi(compiled, places, place):
    program = compiled("script")

    @bounded(150)
    @given(scripts(operations()))
    def same(script: list[bytes]) -> None:
        theirs, their_root = run(places["native"], program, script)
        mine, root = run(places[place], program, script)
        assert first_difference(script, mine, theirs) is None
        assert root is None or tree_of(root) == tree_of(their_root)

    same()


# The host has no descriptor of a preopened directory to lose, and none of WASI's flags.
plain_operations = operations(plain_paths, directories=st.just(0)).filter(
    lambda line: not line.startswith((b"F", b"g", b"N", b"c 0", b"o 0 0"))
)


@pytest.mark.parametrize("place", ["private", "host"])
def test_a_script_gives_what_the_host_itself_gives(compiled, places, place, tmp_path):
    program, made = compiled("script"), iter(range(1 << 30))

    @bounded(100)
    @given(scripts(plain_operations))
    def same(script: list[bytes]) -> None:
        root = tmp_path / str(next(made))
        (root / "tmp").mkdir(parents=True)
        theirs = on_the_host(script, root)
        mine, my_root = run(places[place], program, script)
        assert first_difference(script, mine, theirs) is None
        assert my_root is None or tree_of(my_root) == tree_of(root)

    same()


def test_the_host_itself_gives_what_wasmtimes_own_wasi_gives(compiled, places, tmp_path):
    # What the two comparisons above stand on: two references that agree.
    program, made = compiled("script"), iter(range(1 << 30))

    @bounded(50)
    @given(scripts(plain_operations))
    def same(script: list[bytes]) -> None:
        root = tmp_path / str(next(made))
        (root / "tmp").mkdir(parents=True)
        theirs, their_root = run(places["native"], program, script)
        assert first_difference(script, on_the_host(script, root), theirs) is None
        assert tree_of(root) == tree_of(their_root)

    same()

"""The C header of the guest API declares what the host provides."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import wasmtime

from moc_server_ext import compilers
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.array_layout import ARRAY_BYTES, DTYPE_CODES
from moc_server_ext.errors import ArrayMemoryError
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.model import CallRequest, Declaration, Mode
from moc_server_ext.model.arrays import DIMENSIONS_MAX, ITEM_BYTES

HEADER = (Path(compilers.__file__).parent / "include" / "moc" / "core.h").read_text()
DECLARATION = re.compile(r'^MOC_CORE\("(\w+)"\)\s+int32_t (\w+)\((.*?)\);', re.MULTILINE | re.DOTALL)
DECLARED = {name: (own, parameters) for name, own, parameters in DECLARATION.findall(HEADER)}
NAMES = sorted(DECLARED)


def test_every_function_of_the_guest_api_is_declared():
    # Names of early modules are no use to new ones; a header that took one as common as `test` would be in the way.
    assert set(NAMES) == {name for name, each in CORE.functions.items() if not each.instead}
    assert len(NAMES) == HEADER.count("\nMOC_CORE(")


def test_functions_have_their_own_names_but_for_the_one_that_c_has_already():
    assert {name: own for name, (own, _) in DECLARED.items() if name != own} == {"log": "moc_log"}


def test_parameters_come_in_the_order_of_the_host_with_names_that_fit():
    for name, (_, declared) in DECLARED.items():
        names = [re.findall(r"\w+", each)[-1] for each in declared.split(",")] if declared != "void" else []
        own = CORE.functions[name].parameters
        assert len(names) == len(own), name
        for here, there in zip(names, own, strict=True):
            is_size = there.endswith(("_length", "_count", "length", "capacity"))
            assert is_size == here.endswith(("_length", "_count", "length", "capacity")), (name, here, there)


def test_the_levels_of_the_header_are_those_of_the_log(call, compile_c):
    names = "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"
    tests = " + ".join(f"(MOC_{name} == {level})" for level, name in enumerate(names))
    module = compile_c(f"#include <moc/core.h>\n#include <math.h>\nint levels(void) {{ return {tests}; }}")
    assert call(module, "levels") == len(names)


@pytest.mark.timeout(400)
def test_imports_made_by_the_header_have_the_types_of_the_host(compile_c, engine):
    uses = "\n".join(f"void *use_{name}(void) {{ return (void *){DECLARED[name][0]}; }}" for name in NAMES)
    module = wasmtime.Module(engine, compile_c(f"#include <moc/core.h>\n{uses}\n", "-ffreestanding"))
    found = {
        each.name: (tuple(map(str, each.type.params)), tuple(map(str, each.type.results)))
        for each in module.imports
        if isinstance(each.type, wasmtime.FuncType)
    }
    signatures = {name: CORE.functions[name].signature for name in NAMES}
    assert found == {name: (each.params, each.results) for name, each in signatures.items()}


def test_the_header_compiles_without_warnings_and_leaves_no_macro_behind(c):
    compiled = c.compile(
        "#include <moc/core.h>\n#ifdef MOC_CORE\n#error MOC_CORE\n#endif\nint f(void) { return is_trace(); }",
        filename="cell",
        flags=["-Wall", "-Wextra", "-Wpedantic", "-std=c99"],
    )
    assert compiled.diagnostics == ""


# -- array functions --------------------------------------------------------------------------------------------------

ARRAYS = """
#include <moc/core.h>
MOC_CHUNK(twice)
int32_t twice(const struct moc_array *array, double factor, struct moc_array *result) {
    const float *from = moc_float32(array);
    float *to = (float *)moc_like(result, array);
    if (!from) return moc_fail("expected float32");
    if (!to) return moc_fail("no memory");
    for (uint32_t i = 0; i < moc_elements(array); i++) to[i] = (float)(from[i] * factor);
    return 0;
}
"""
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@pytest.mark.parametrize(
    "flags",
    [
        ["-std=c99"],
        ["-std=c17", "-ffreestanding"],
        ["-x", "c++", "-std=c++17"],
        ["-x", "c++", "-std=c++17", "-ffreestanding", "-fno-exceptions"],
    ],
)
@pytest.mark.timeout(400)
def test_an_array_function_is_exported_by_its_declaration_alone(c, exports, flags):
    compiled = c.compile(ARRAYS, filename="cell", flags=[*STRICT, *flags])
    assert compiled.diagnostics == ""
    assert sorted({*exports(compiled.content)} - {"_initialize"}) == ["chunk/1:twice", "memory"]


def test_the_numbers_of_the_header_are_those_of_the_host():
    found = {name.lower(): int(code, 16) for name, code in re.findall(r"MOC_(\w+) = (0x[0-9a-f]+)", HEADER)}
    assert found == DTYPE_CODES
    assert f"#define MOC_MAX_DIMENSIONS {DIMENSIONS_MAX}\n" in HEADER


def test_the_structure_of_the_header_is_that_of_the_host(compile_c, call):
    sizes = f"""#include <moc/core.h>
    int size(void) {{ return sizeof(struct moc_array); }}
    int item_sizes(void) {{ return {" + ".join(f"moc_item_size(MOC_{name.upper()})" for name in DTYPE_CODES)}; }}"""
    module = compile_c(sizes, "-ffreestanding")
    assert call(module, "size") == ARRAY_BYTES
    assert call(module, "item_sizes") == sum(ITEM_BYTES.values())


ALLOCATING = """
#include <moc/core.h>
static uintptr_t last;
static int is_zero(const unsigned char *at, size_t size) { while (size) if (at[--size]) return 0; return 1; }
/* 1: aligned, zero, apart from the one before, which stays as it was filled. 0: no room. */
int take(int size) {
    unsigned char *at = moc_allocate((size_t)size);
    if (!at) return 0;
    if ((uintptr_t)at % 16 || !is_zero(at, (size_t)size)) return -1;
    for (int i = 0; i < size; i++) at[i] = 1;
    uintptr_t before = last;
    last = (uintptr_t)at;
    return before ? (int)(last - before) : 1;
}
int pages(void) { return (int)__builtin_wasm_memory_size(0); }
int make(int ndim, int first, int second) {
    struct moc_array result;
    uint32_t shape[MOC_MAX_DIMENSIONS + 1] = {(uint32_t)first, (uint32_t)second};
    for (int i = 2; i < ndim; i++) shape[i] = 1;
    return moc_make(&result, MOC_FLOAT64, (uint32_t)ndim, shape) != NULL;
}
"""


@pytest.mark.timeout(400)
def test_memory_of_the_header_is_aligned_zero_and_packed(compile_c, engine):
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=8 << 20)
    module = wasmtime.Module(engine, compile_c(ALLOCATING, "-ffreestanding"))
    instance = wasmtime.Instance(store, module, []).exports(store)

    def run(name: str, *numbers: int) -> int:
        return instance[name](store, *numbers)

    assert run("take", 1) == 1
    pages = run("pages")
    # What one page has room for, one after the other; then another page, right behind it.
    assert [run("take", size) for size in (16, 17, 0, 60_000, 5_000)] == [16, 16, 32, 16, 60_000]
    assert run("pages") == pages
    assert run("take", 3 << 20) == 5_008
    assert [run("take", size) for size in (16 << 20, 1 << 31, -1, -17)] == [0, 0, 0, 0]
    assert run("take", 100) > 0


@pytest.mark.parametrize(
    ("ndim", "first", "second", "is_made"),
    [(0, 0, 0, 1), (2, 3, 5, 1), (2, 0, -1, 1), (32, 2, 2, 1), (33, 1, 1, 0), (2, -1, -1, 0), (2, 1 << 16, 1 << 13, 0)],
)
def test_a_result_is_made_or_refused(compile_c, call, ndim, first, second, is_made):
    assert call(compile_c(ALLOCATING, "-ffreestanding"), "make", ndim, first, second) == is_made


WITH_MALLOC = """
#include <moc/core.h>
#include <stdlib.h>
#include <string.h>
MOC_CHUNK(mixed)
int32_t mixed(const struct moc_array *array, struct moc_array *result) {
    uint32_t elements = moc_elements(array);
    uint8_t *to = moc_like(result, array);
    /* Many blocks of all sizes, all written: whoever took the array's memory as its own would spoil it. */
    for (uint32_t i = 1; i < 200; i++) {
        void *block = malloc(i * 1000);
        if (!block) return moc_fail("malloc");
        memset(block, 255, i * 1000);
        /* Or the compiler, which knows malloc, would leave all of it out. */
        __asm__ volatile("" : : "r"(block) : "memory");
        if (i % 3 == 0) free(block);
    }
    memcpy(to, array->bytes, elements);
    return 0;
}
"""


@pytest.mark.timeout(400)
def test_malloc_and_the_hosts_array_keep_out_of_each_others_way(compile_c, tmp_path):
    content = bytes(range(256)) * 4096
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as moc:
        moc.functions.put("mixed", compile_c(WITH_MALLOC))
        headers = {"moc-dtype": "uint8", "moc-shape": f"[{len(content)}]"}
        assert moc.call_sync(CallRequest("mixed", input=content, input_headers=headers)).output == content


# What the malloc of older versions of wasi-libc does, in its place: at its first call it takes all memory there is.
CLAIMING = """
#include <moc/core.h>
extern unsigned char __heap_base;
static unsigned char *next, *end;
void *moc_libc_malloc(size_t size) {
    if (!next) {
        next = &__heap_base;
        end = (unsigned char *)(__builtin_wasm_memory_size(0) << 16);
    }
    size = (size + 15) & ~(size_t)15;
    if (size > (size_t)(end - next)) {
        size_t pages = (size + 65535) >> 16;
        next = (unsigned char *)(__builtin_wasm_memory_grow(0, pages) << 16);
        end = next + (pages << 16);
    }
    next += size;
    return next - size;
}
void moc_libc_free(void *memory) { (void)memory; }
MOC_CHUNK(mixed)
int32_t mixed(const struct moc_array *array, struct moc_array *result) {
    unsigned char *block = moc_libc_malloc(200000);
    for (int i = 0; i < 200000; i++) block[i] = 255;
    __asm__ volatile("" : : "r"(block) : "memory");
    *result = *array;
    return 0;
}
"""
MAIN = "int main(void) { return 0; }"


@pytest.mark.parametrize("more", ["", MAIN], ids=["functions", "program"])
@pytest.mark.parametrize("reusable", [False, True])
@pytest.mark.timeout(400)
def test_a_malloc_that_takes_all_memory_there_is_does_so_before_the_array_is_there(compile_c, tmp_path, more, reusable):
    content = bytes(range(256)) * 4096
    headers = {"moc-dtype": "uint8", "moc-shape": f"[{len(content)}]"}
    asked = CallRequest("mixed", entry="mixed", input=content, input_headers=headers)
    unready = "#undef __wasi__\n#include <stddef.h>\n" + f"{CLAIMING}{more}"
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as moc:
        moc.functions.put("mixed", compile_c(f"{CLAIMING}{more}"), Declaration(reusable=reusable))
        assert moc.call_sync(asked).output == content
        assert asyncio.run(moc.call(asked)).output == content
        with moc.prepare(asked) as prepared:
            for _ in range(2):
                assert prepared.run(content, input_headers=headers).output == content
        # The same without the header's care: the test has what it is about.
        moc.functions.put("mixed", compile_c(unready))
        with pytest.raises(ArrayMemoryError, match="before the array"):
            moc.call_sync(asked)


@pytest.mark.timeout(400)
def test_a_module_without_malloc_gets_none_from_the_header(compile_c, engine):
    with_malloc, without = compile_c(WITH_MALLOC), compile_c(ARRAYS)
    assert b"malloc" in with_malloc
    assert len(without) < len(with_malloc)
    assert b"BrkAllocator" not in without
    assert [each.name for each in wasmtime.Module(engine, compile_c(ARRAYS, "-ffreestanding")).exports] == [
        "memory",
        "chunk/1:twice",
    ]


@pytest.mark.timeout(400)
def test_constructors_have_run_when_another_export_of_a_program_is_called(compile_c, exports, tmp_path):
    source = """
        static volatile int made;
        __attribute__((constructor)) static void make(void) { made += 42; }
        __attribute__((export_name("asked"))) int asked(void) { return made; }
        int main(void) { return made; }
    """
    module = compile_c(source)
    assert sorted(exports(module)) == ["__wasm_call_ctors", "_start", "asked", "memory"]
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as moc:
        moc.functions.put("program", module)
        assert moc.call_sync(CallRequest("program", entry="asked", mode=Mode.DIRECT)).result == 42
        # A program runs them itself.
        assert moc.call_sync(CallRequest("program")).exit_code == 42

"""Array functions in a notebook: written in a cell, called with an array, seen as what they take."""

from __future__ import annotations

import pytest

from moc_server_ext import compilers

SCALE = """%%moc c scale
#include <moc/core.h>

MOC_CHUNK(scale)
int32_t scale(const struct moc_array *array, double factor, struct moc_array *result) {
    const double *from = moc_float64(array);
    double *to = moc_like(result, array);
    if (!from) return moc_fail("scale: expected float64");
    if (!to) return moc_fail("scale: no memory");
    for (uint32_t i = 0; i < moc_elements(array); i++) to[i] = from[i] * factor;
    return 0;
}
"""


@pytest.fixture(scope="module", autouse=True)
def compiler():
    """Build the C library first, where that was never done: it may take a minute."""
    c = compilers.compiler_for("c")
    if c.describe() is None:
        pytest.skip("no C compiler for WebAssembly is installed")
    c.compile('#include <stdio.h>\nint main(void) { puts(""); }', filename="warm.c")


@pytest.fixture
def scale(kernel):
    registered = kernel.do(SCALE).stdout
    assert registered == "registered function 'scale': scale(array, f64) -> array\n"
    kernel.do("import numpy\narray = numpy.arange(6.0).reshape(2, 3)")
    return kernel


def test_an_array_goes_in_and_an_array_comes_back(scale):
    cell = scale.do("%moc call -i array -o scaled scale 2.5\nprint(scaled.dtype, scaled.tolist())")
    assert cell.stdout == "float64 [[0.0, 2.5, 5.0], [7.5, 10.0, 12.5]]\n"


@pytest.mark.parametrize(
    "value",
    ["array.T", "array[:, ::2]", "array.astype('>f8')", "numpy.float64(3)", "array[:0]", "memoryview(array)"],
)
def test_an_array_of_any_order_in_memory_arrives_as_it_is(scale, value):
    scale.do(f"given = {value}\n%moc call -i given -o scaled scale 2")
    scale.do("expected = 2 * numpy.asarray(given)")
    assert scale.do("print(scaled.shape == expected.shape, (scaled == expected).all())").stdout == "True True\n"


def test_the_values_of_a_data_array_go_in(scale):
    pytest.importorskip("xarray")
    scale.do("import xarray\ngiven = xarray.DataArray(array, dims=('y', 'x'))\n%moc call -i given -o scaled scale 2")
    assert scale.do("print((scaled == 2 * array).all())").stdout == "True\n"


def test_the_result_of_a_call_and_a_stored_buffer_go_in(scale):
    scale.do("import moc_kernel\nmoc = moc_kernel.connect()\nfirst = moc.call('scale', array, 3)")
    scale.do("moc.buffers['first'] = first\nstored = moc.buffers['first']")
    for name in ("first", "stored"):
        scale.do(f"%moc call -i {name} -o scaled scale 2")
        assert scale.do("print((scaled == 6 * array).all())").stdout == "True\n"


def test_what_no_guest_can_be_given_is_said_in_words(scale):
    cell = scale.run("words = numpy.array(['a', None], dtype=object)\n%moc call -i words scale 2")
    assert cell.error["ename"] == "InvalidInputError"
    assert "Variable 'words' cannot be given to a guest. An array of object cannot be stored" in cell.error_text
    assert "array.astype('float64')" in cell.error_text


def test_why_a_function_gave_no_array_stands_below_the_cell(scale):
    cell = scale.run("whole = array.astype(int)\n%moc call -i whole scale 2")
    assert "scale: expected float64" in cell.stderr
    assert "'scale' of function 'scale' gave 1 back, where 0 is success: there is no array." in cell.error_text


def test_a_call_without_an_array_says_how_to_give_one(scale):
    assert "%moc call -i VARIABLE scale" in scale.run("%moc call scale 2").error_text


def test_an_array_that_is_shown_is_a_page_of_bytes(scale):
    cell = scale.do("%moc call -i array scale 2")
    assert cell.stdout == ""
    assert cell.shown


def test_a_started_call_has_the_array_as_it_was_then(scale):
    scale.do("%moc call --noblock -i array -o started scale 2\narray[:] = -1\nresult = started.wait()")
    assert scale.do("print(result.to_numpy().tolist())").stdout == "[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]\n"


def test_the_header_can_be_read(kernel):
    assert "MOC_CHUNK(twice)" in kernel.do("%moc guest-api core c").stdout


def test_completion_and_descriptions_show_what_the_function_takes(scale):
    text = scale.do("import moc_kernel\nmoc = moc_kernel.connect()\nprint(moc.functions['scale'].getdoc())").stdout
    assert "scale(array, f64) -> array" in text
    assert "chunk/1" not in text


def test_a_variable_that_is_an_array_is_stored_as_one(kernel):
    kernel.do("import numpy\ngrid = numpy.arange(6, dtype='int16').reshape(2, 3)")
    assert kernel.do("%moc buffer put -i grid grid").stdout == "stored buffer 'grid': 12 bytes, int16 (2, 3)\n"
    stored = kernel.do("import moc_kernel\nprint(moc_kernel.connect().buffers['grid'][1, ::2].tolist())")
    assert stored.stdout == "[3, 5]\n"

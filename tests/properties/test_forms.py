"""Whatever inputs a client sends as a form, the server takes the same apart, however the body was cut on its way."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.client.form import Form
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.http.multipart import FormInputs, form_boundary
from moc_server_ext.model import INPUTS_MAX, CallInput

CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"0", b"\0"])).map(b"".join),
)
HEADERS = st.fixed_dictionaries({}, optional={"content-type": st.sampled_from(["text/plain", 'a/b; c="d"', "x/y"])})
INPUTS = st.lists(st.builds(CallInput, CONTENT, HEADERS), min_size=1, max_size=5)


def taken_apart(boundary: bytes, body: bytes, cuts: list[int]) -> tuple[CallInput, ...]:
    form = FormInputs(boundary)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, stop in pairwise(places):
        form.feed(body[start:stop])
    return form.finish()


@given(INPUTS, st.lists(st.integers(min_value=0), max_size=12))
def test_what_is_sent_arrives(inputs, cuts):
    form = Form(inputs)
    boundary = form_boundary({"content-type": form.content_type})
    assert boundary is not None
    assert taken_apart(boundary, b"".join(form.body()), cuts) == tuple(inputs)


@given(st.lists(st.sampled_from([b"--xx", b"\r\n", b"--", b":", b"A: b", b"Moc-Dtype: uint8", b" ", b"1", b"\r"])),
       st.lists(st.integers(min_value=0), max_size=5))  # fmt: skip
def test_of_any_body_there_are_inputs_or_an_error_in_words(pieces, cuts):
    try:
        inputs = taken_apart(b"xx", b"--xx\r\n" + b"".join(pieces), cuts)
    except InvalidInputError:
        return
    assert 1 <= len(inputs) <= INPUTS_MAX

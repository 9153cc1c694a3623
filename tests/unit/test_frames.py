"""Frames come out as they went in, however the connection cuts them; what are no frames is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.frames import MAX_PAYLOAD_BYTES, Decoder, Frame, encode

FRAMES = st.lists(st.tuples(st.sampled_from(Frame), st.binary(max_size=200)), max_size=8)


@given(FRAMES, st.data())
def test_frames_survive_any_cutting_into_pieces(frames, data):
    sent = b"".join(encode(kind, payload) for kind, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=10)))
    decoder = Decoder()
    found = []
    for start, stop in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += decoder.feed(sent[start:stop])
    assert found == frames


@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1, 5 * MAX_PAYLOAD_BYTES // 2])
def test_a_long_payload_travels_in_several_frames(size):
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    found = list(Decoder().feed(encode(Frame.OUTPUT, payload)))
    assert len(found) == -(-size // MAX_PAYLOAD_BYTES)
    assert {kind for kind, _ in found} == {Frame.OUTPUT}
    assert b"".join(part for _, part in found) == payload


@pytest.mark.parametrize(
    "head", [b"Z\0\0\0\0", b"\0\0\0\0\0", b"O\xff\xff\xff\xff", b"O\0\x10\0\x01", b"HTTP/1.1 200 OK"]
)
def test_what_is_no_frame_is_refused(head):
    with pytest.raises(InvalidInputError):
        list(Decoder().feed(head))


@given(st.binary(max_size=400))
def test_hostile_bytes_are_frames_or_refused(junk):
    try:
        found = list(Decoder().feed(junk))
    except InvalidInputError:
        return
    assert junk.startswith(b"".join(encode(kind, payload) for kind, payload in found))


def test_a_frame_is_refused_before_its_payload_is_waited_for():
    decoder = Decoder()
    assert list(decoder.feed(b"O\x7f")) == []
    with pytest.raises(InvalidInputError, match="announced"):
        list(decoder.feed(b"\xff\xff\xff"))

"""A file's content in blocks behaves as the same bytes in one piece."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.engines.wasi.content import BLOCK_BYTES, FileContent

# Near the ends of blocks, where mistakes would be.
offsets = st.one_of(
    st.integers(0, 3 * BLOCK_BYTES),
    st.builds(lambda block, near: max(0, block * BLOCK_BYTES + near), st.integers(0, 3), st.integers(-3, 3)),
)
lengths = st.one_of(st.integers(0, 5), st.integers(BLOCK_BYTES - 2, BLOCK_BYTES + 2), st.just(2 * BLOCK_BYTES + 1))
steps = st.lists(st.tuples(st.sampled_from(["write", "resize", "read"]), offsets, lengths), max_size=12)


@given(steps)
def test_it_holds_what_the_same_bytes_in_one_piece_would(done):
    content, model = FileContent(), bytearray()
    for number, (step, at, length) in enumerate(done, start=1):
        if step == "write" and length:
            model.extend(bytes(max(0, at - len(model))))
            model[at : at + length] = bytes([number]) * length
            content.write(at, bytes([number]) * length)
        elif step == "resize":
            model = model[:at] + bytes(max(0, at - len(model)))
            content.resize(at)
        assert content.read(at, at + length) == model[at : at + length]
        assert len(content) == len(model)
    assert bytes(content) == model
    assert bytes(FileContent(bytes(model))) == model


def test_what_was_never_written_takes_no_memory():
    content = FileContent()
    content.resize(1 << 40)
    assert content.read((1 << 40) - 3, 1 << 41) == bytes(3)
    assert content._blocks == []

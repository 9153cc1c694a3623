"""How buffers and calls look as a cell's value: static, deterministic, at most 64 KiB."""

from __future__ import annotations

import pytest

LIMIT_BYTES = 64 << 10


@pytest.fixture(scope="module")
def connected(kernel):
    kernel.do("from moc_kernel import connect\nmoc = connect()")
    return kernel


def test_a_buffer_shows_its_first_page_as_html_and_text(connected):
    connected.do("moc.platform.buffers.put('greeting', b'hello <b>world</b>', 'text/html')")
    result = connected.do("moc.buffers['greeting']").result
    assert set(result) == {"text/html", "text/plain"}
    assert result["text/plain"] == "buffer 'greeting': 18 bytes, text/html\nhello <b>world</b>"
    assert "hello &lt;b&gt;world&lt;/b&gt;" in result["text/html"]


@pytest.mark.parametrize("content", ["bytes(range(256)) * 10_000", "b'&' * 3_000_000", "b'\\x1b[31m\\n' * 100_000"])
def test_a_large_buffer_makes_a_small_page_and_twice_the_same(connected, content):
    connected.do(f"moc.buffers['large'] = {content}")
    first = connected.do("moc.buffers['large']")
    assert 0 < first.displayed_bytes <= LIMIT_BYTES
    assert first.result == connected.do("moc.buffers['large']").result


def test_a_buffer_that_has_gone_is_said_without_a_traceback(connected):
    cell = connected.do("moc.buffers['gone'] = b'x'\nhandle = moc.buffers['gone']\ndel moc.buffers['gone']\nhandle")
    assert "No buffer is named 'gone'" in cell.result["text/plain"]
    assert cell.stderr == ""


def test_a_calls_result_shows_its_exit_code_and_output(connected):
    result = connected.do("moc.call('cat', input=b'some text')").result
    assert result["text/plain"] == "CallResult(exit_code=0) with output: 9 bytes\nsome text"
    assert "<pre" in result["text/html"]


def test_a_table_of_many_rows_is_cut_and_says_so(connected):
    connected.do("for n in range(300):\n    moc.buffers[f'many-{n:03}'] = b''")
    cell = connected.do("%moc buffers")
    assert cell.displayed_bytes <= LIMIT_BYTES
    assert "more; the value's `.rows` has them all" in cell.shown[0]["text/plain"]


def test_a_table_of_hostile_names_stays_small_and_inert(connected):
    connected.do("for n in range(200):\n    moc.buffers['<script>' * 50 + str(n)] = b''")
    cell = connected.do("%moc buffers")
    assert "<script>" not in cell.shown[0]["text/html"]
    assert cell.displayed_bytes <= LIMIT_BYTES

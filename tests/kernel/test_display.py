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


def test_looking_inside_where_nobody_watches_shows_a_static_page_once(connected):
    connected.do("import numpy\nmoc.buffers['grid'] = numpy.arange(6.0).reshape(2, 3)")
    cell = connected.do("%moc inspect grid")
    assert cell.result is None
    (page,) = cell.shown
    assert set(page) == {"text/html", "text/plain"}
    assert page["text/plain"].splitlines()[0] == "buffer 'grid': 48 bytes, float64 (2, 3)"
    assert "moc-place" not in page["text/html"]
    assert connected.do("moc.buffers['grid']").result == page
    assert connected.do("handle = %moc inspect grid\nprint(handle.shape)").stdout == "(2, 3)\n"
    (listed,) = connected.do("%moc browse").shown
    assert "grid" in listed["text/plain"]


@pytest.mark.parametrize("code", ["%moc inspect watched", "moc.buffers['watched']", "%moc browse"])
def test_looking_inside_where_a_person_watches_opens_a_widget_with_that_page_beside_it(connected, code):
    connected.do("moc.buffers['watched'] = b'watched bytes'")
    cell = connected.do(code, watched=True)
    (page,) = cell.shown
    assert set(page) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "watched" in page["text/plain"]
    assert cell.result is None
    assert "comm_open" in cell.messages


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

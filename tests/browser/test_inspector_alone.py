"""The inspector's script on an empty page, with a channel that gives what no server could: anything, of any size."""

from __future__ import annotations

from typing import Any

import pytest

from moc_widgets.assets import inspector_script, style

# A channel over bytes that are worked out from their offset, or over those of a text. `asked` keeps what was sent.
CHANNEL = """
function open({about, content, at, fill}) {
  const asked = [];
  const byteAt = at ? new Function("offset", "return " + at) : (offset) => content[Number(offset)];
  const bytes = (start, stop) => {
    const empty = new Uint8Array(Number(stop - start));
    return fill === undefined ? empty.map((_, i) => byteAt(start + BigInt(i))) : empty.fill(fill);
  };
  const size = BigInt(about.size);
  const until = (stop) => stop < size ? stop : size;
  const channel = {
    about: {content_type: "", created_at: 0, headers: [], origin: [], views: ["hex", "text", "array"], view: "hex",
            array: null, members: [], ...about},
    first: bytes(0n, until(16384n)),
    listen(heard) { this.heard = heard; return () => {}; },
    send(message) {
      asked.push(message);
      for (const start of message.wanted ?? []) {
        const begin = BigInt(start);
        const page = new DataView(bytes(begin, until(begin + 65536n)).buffer);
        setTimeout(() => channel.heard({type: "page", start}, [page]));
      }
    },
  };
  const inspector = new Inspector(channel);
  document.body.replaceChildren(inspector.root);
  globalThis.it = inspector;
  globalThis.asked = asked;
  globalThis.channel = channel;
}
globalThis.openInspector = open;
globalThis.parts = {Pages, TextLayout, HexLayout, parseOffset, elementsIn, textParts};
"""


@pytest.fixture(scope="module")
def tab(browser: Any) -> Any:
    """Give a page with the inspector's script and nothing else on it."""
    page = browser.new_page(viewport={"width": 900, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content("<!doctype html><meta charset='utf-8'><title>alone</title>")
    page.add_style_tag(content=style("place", "inspector/inspector"))
    page.add_script_tag(type="module", content=inspector_script("inspector_face") + CHANNEL)
    page.wait_for_function("() => globalThis.openInspector")
    yield page
    assert errors == []


def show(tab: Any, **options: Any) -> None:
    tab.evaluate("options => openInspector(options)", options)


def hear(tab: Any, message: dict[str, Any]) -> None:
    tab.evaluate("message => channel.heard(message, [])", message)


def wait_for_rows(tab: Any, part: str, expected: list[str]) -> None:
    """Wait until the rows are drawn, with these texts."""
    tab.wait_for_function(
        """([part, expected]) => {
            const found = [...document.querySelectorAll(`.moc-row:not([hidden]) ${part}`)];
            return JSON.stringify(expected) === JSON.stringify(found.map(each => each.textContent));
        }""",
        arg=[part, expected],
    )


def test_any_offset_up_to_the_last_of_2_to_the_62_is_come_to_and_shown_exactly(tab):
    size = (1 << 62) + 5
    show(tab, about={"name": "vast", "size": str(size)}, at="Number(offset % 251n)")
    scroller = tab.locator(".moc-scroller")
    scroller.focus()
    scroller.press("End")
    last = f"{(1 << 62):016x}" + " ".join(f"{((1 << 62) + n) % 251:02x}" for n in range(5))
    tab.wait_for_function(
        "last => [...document.querySelectorAll('.moc-row:not([hidden])')].at(-1)?.textContent.startsWith(last)",
        arg=last,
    )
    for typed, offset in (("9007199254740993", 2**53 + 1), ("0x3fff_ffff_ffff_fff0", (1 << 62) - 16), ("0", 0)):
        tab.locator(".moc-go-field").fill(typed)
        tab.locator(".moc-go-field").press("Enter")
        tab.wait_for_function("() => document.querySelector('.moc-row:not([hidden]) mark')")
        tab.wait_for_function(
            "place => [...document.querySelectorAll('.moc-row:not([hidden])')].some(row => row.querySelector('mark') &&"
            " row.querySelector('.moc-offset').textContent === place)",
            arg=f"{offset // 16 * 16:016x}",
        )


def test_scrolling_moves_by_rows_and_never_jumps_whatever_the_size(tab):
    for size in (1000, 1 << 30, 1 << 50):
        show(tab, about={"name": "scrolled", "size": str(size)}, at="Number(offset & 255n)")
        scroller = tab.locator(".moc-scroller")
        scroller.focus()
        for _ in range(3):
            scroller.press("ArrowDown")
        tab.wait_for_function("() => it.scroller.top === 48n && it.scroller.shift === 0")
        scroller.press("ArrowUp")
        tab.wait_for_function("() => it.scroller.top === 32n")
        tab.evaluate("() => it.scroller.element.dispatchEvent(new WheelEvent('wheel', {deltaY: 30, cancelable: true}))")
        tab.wait_for_function("() => it.scroller.top === 48n && it.scroller.shift === 10")
        scroller.press("Home")
        tab.wait_for_function("() => it.scroller.top === 0n && it.scroller.element.scrollTop === 0")


def test_the_bar_leads_to_any_part_and_its_end_is_the_end(tab):
    show(tab, about={"name": "dragged", "size": str(1 << 40)}, at="Number(offset & 255n)")
    for share in (0.25, 0.5, 1):
        top = tab.evaluate(
            """async share => {
                const bar = it.scroller.element;
                bar.scrollTop = (bar.scrollHeight - bar.clientHeight) * share;
                await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
                return Number(it.scroller.top) / 2 ** 40;
            }""",
            share,
        )
        assert abs(top - share) < 0.001
    assert tab.evaluate("() => it.scroller.isAtEnd")


def test_what_is_kept_in_the_browser_is_bounded_and_only_what_is_seen_is_asked_for(tab):
    show(tab, about={"name": "bounded", "size": str(1 << 40)}, fill=7)
    tab.evaluate(
        """async () => {
            for (let part = 1; part < 300; part += 1) {
                it.scroller.seek(BigInt(part) * 1_000_000_000n);
                await new Promise(done => requestAnimationFrame(done));
            }
        }"""
    )
    assert tab.evaluate("() => it.pages.kept.size") <= 256
    assert tab.evaluate("() => Math.max(...asked.map(each => each.wanted.length))") <= 4


TEXTS = {
    "lines": b"one\ntwo\r\n\nthree",
    "ends with a newline": b"one\ntwo\n",
    "long lines": ("x" * 700 + "\n" + "é" * 900 + "\nshort\n" + "y" * 255 + "\n").encode() * 3,
    "no line at all": bytes(range(128, 256)) * 9,
    "only newlines": b"\n" * 300,
    "one long line": "🙂".encode() * 2000,
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_rows_of_text_are_the_same_from_wherever_they_are_come_to(tab, content):
    result = tab.evaluate(
        """content => {
            const pages = new parts.Pages(() => {}, () => {});
            pages.open(BigInt(content.length), Uint8Array.from(content));
            const layout = new parts.TextLayout(pages, () => null);
            const starts = [];
            for (let row = 0n; row !== null; row = layout.next(row)) {
                starts.push(Number(row));
            }
            const wrong = [];
            for (let offset = 0; offset < content.length; offset += 1) {
                const expected = starts.findLast(start => start <= offset);
                if (Number(layout.rowAt(BigInt(offset))) !== expected) {
                    wrong.push([offset, Number(layout.rowAt(BigInt(offset))), expected]);
                }
            }
            return { starts, wrong };
        }""",
        list(content),
    )
    assert result["wrong"] == []
    starts = result["starts"]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    lengths = [stop - start for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]
    assert max(lengths) <= 516
    breaks = {at + 1 for at, byte in enumerate(content) if byte == 10 and at + 1 < len(content)}
    assert breaks <= set(starts)
    assert all((content[start] & 0xC0) != 0x80 for start in starts if content not in (TEXTS["no line at all"],))


def test_bytes_that_are_no_text_or_not_seen_are_written_as_escapes(tab):
    content = b"ok \xff\xc3( \xed\xa0\x80 \x1b[31m " + "\u202eevil\ufeff é\t🙂".encode()
    show(tab, about={"name": "odd", "size": str(len(content)), "view": "text"}, content=list(content))
    wait_for_rows(tab, ".moc-line", ["ok \\xff\\xc3( \\xed\\xa0\\x80 \\x1b[31m \\u{202e}evil\\ufeff é\t🙂"])
    assert tab.locator(".moc-no-text").first.inner_text() == "\\xff\\xc3"


def test_markup_in_names_headers_and_bytes_stays_text(tab):
    evil = "<img src=x onerror='globalThis.hurt = 1'><script>globalThis.hurt = 1</script>"
    about = {
        "name": evil, "size": str(len(evil)), "content_type": evil, "view": "text",
        "headers": [[evil, evil]], "origin": [["function", evil]],
    }  # fmt: skip
    show(tab, about=about, content=list(evil.encode()))
    tab.locator("summary").click()
    wait_for_rows(tab, ".moc-line", [evil])
    assert tab.locator(".moc-inspector img, .moc-inspector script").count() == 0
    assert tab.evaluate("() => globalThis.hurt") is None


def test_trouble_is_said_in_words_and_reload_asks_again(tab):
    show(tab, about={"name": "gone", "size": "9"}, content=list(b"some text"))
    hear(tab, {"type": "trouble", "kind": "gone", "message": "No buffer is named gone.", "job": None})
    alert = tab.get_by_role("alert")
    assert "No buffer is named gone." in alert.inner_text()
    alert.get_by_role("button", name="Reload").click()
    assert tab.evaluate("() => asked.at(-1)") == {"type": "open"}
    wait_for_rows(tab, ".moc-ascii", ["some text"])
    tab.evaluate(
        """() => channel.heard(
            {type: 'about', about: {...channel.about, size: '3'}},
            [new DataView(new Uint8Array([120, 97, 98, 99, 120]).buffer, 1, 3)],
        )"""
    )
    wait_for_rows(tab, ".moc-ascii", ["abc"])
    assert not alert.is_visible()


def test_all_is_reached_by_keyboard_and_has_a_role_and_a_name(tab):
    show(tab, about={"name": "keys", "size": "5000"}, at="65")
    tab.locator(".moc-tab[aria-selected=true]").focus()
    for view in ("array", "text", "hex"):
        tab.keyboard.press("ArrowRight")
        chosen = tab.get_by_role("tab", selected=True)
        assert chosen.get_attribute("data-view") == view
        assert tab.evaluate("() => document.activeElement.dataset.view") == view
    tab.keyboard.press("/")
    assert tab.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Search"
    reached = set()
    tab.locator(".moc-head button").focus()
    name = "() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    for _ in range(12):
        reached.add(tab.evaluate(name))
        tab.keyboard.press("Tab")
    assert {"Reload", "Details", "Hex", "Search", "Find the next one", "Bytes as hexadecimal numbers"} <= reached
    assert tab.get_by_role("tabpanel").get_attribute("aria-labelledby")


def test_a_search_that_is_answered_marks_what_was_found_and_says_where(tab):
    show(tab, about={"name": "searched", "size": "100000"}, at="Number(offset % 256n)")
    field = tab.locator(".moc-search-field")
    tab.get_by_label("What to search for").select_option("hex")
    field.fill("0x10 11 1")
    field.press("Enter")
    assert "pairs of hex digits" in tab.locator(".moc-status").first.inner_text()
    field.fill("10 11 12")
    field.press("Enter")
    sent = tab.evaluate("() => asked.at(-1)")
    assert (sent["type"], sent["pattern"], sent["forward"]) == ("search", "101112", True)
    hear(tab, {"type": "found", "job": sent["job"], "match": {"start": "65550", "length": 3, "wrapped": False}})
    tab.wait_for_function("() => document.querySelectorAll('.moc-bytes mark').length === 2")
    assert tab.locator(".moc-bytes mark").all_inner_texts() == ["0e 0f", "10"]
    assert "65,550" in tab.locator(".moc-status").first.inner_text()

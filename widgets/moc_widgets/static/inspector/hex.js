// Sixteen bytes a row: offset, hexadecimal, and what of it is printable ASCII.

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const ROW = 16n;

class HexLayout {
  constructor(pages, marked) {
    this.pages = pages;
    this.marked = marked;
    this.label = "Bytes as hexadecimal numbers";
    this.role = "document";
    this.className = "moc-hex";
    this.rowBytes = ROW;
  }

  rowCount() {
    return Number((this.pages.size + ROW - 1n) / ROW);
  }

  rowAt(offset) {
    return offset - (offset % ROW);
  }

  next(offset) {
    return offset + ROW < this.pages.size ? offset + ROW : null;
  }

  after(offset) {
    return this.next(offset);
  }

  // Where the bar stands, from 0 to 1, with `visible` rows on the screen; and what is seen there.
  share(offset, part, visible) {
    const most = this.rowCount() - visible;
    return most > 0 ? (Number(offset / ROW) + part) / most : 0;
  }

  place(share, visible, rowHeight) {
    const rows = Math.max(0, (this.rowCount() - visible) * share);
    const whole = Math.floor(rows);
    return [BigInt(whole) * ROW, (rows - whole) * rowHeight];
  }

  row() {
    const [place, bytes, ascii] = ["moc-offset", "moc-bytes", "moc-ascii"].map((name) => make("span", { class: name }));
    return { element: make("div", { class: "moc-row" }, place, bytes, ascii), place, bytes, ascii };
  }

  fill(row, offset) {
    const stop = bigMin(offset + ROW, this.pages.size);
    const bytes = this.pages.bytes(offset, stop);
    const digits = Math.max(8, this.pages.size.toString(16).length);
    row.place.textContent = offset.toString(16).padStart(digits, "0");
    if (!bytes) {
      row.bytes.textContent = "·· ".repeat(Number(stop - offset)).trim();
      row.ascii.textContent = "";
      return;
    }
    const mark = this.marked(offset, stop);
    if (mark) {
      const [from, to] = mark;
      markedInto(row.bytes, from, to, bytes.length, (a, b) => hexText(bytes, a, b), hexGap);
      markedInto(row.ascii, from, to, bytes.length, (a, b) => asciiText(bytes, a, b), () => "");
    } else {
      row.bytes.textContent = hexText(bytes, 0, bytes.length);
      row.ascii.textContent = asciiText(bytes, 0, bytes.length);
    }
  }
}

function hexText(bytes, from, to) {
  let text = "";
  for (let index = from; index < to; index += 1) {
    text += (index === from ? "" : hexGap(index)) + HEX[bytes[index]];
  }
  return text;
}

// What stands before byte `index` of a row.
function hexGap(index) {
  return index === 0 ? "" : index === 8 ? "  " : " ";
}

function asciiText(bytes, from, to) {
  let text = "";
  for (let index = from; index < to; index += 1) {
    text += bytes[index] >= 32 && bytes[index] < 127 ? String.fromCharCode(bytes[index]) : "·";
  }
  return text;
}

function markedInto(element, from, to, length, text, gap) {
  const parts = [text(0, from), from > 0 ? gap(from) : ""];
  const mark = make("mark", {}, text(from, to));
  element.replaceChildren(...parts, mark, to < length ? gap(to) : "", text(to, length));
}

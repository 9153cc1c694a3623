// Lines of text. A long line is broken at places that depend only on the bytes just before them, so that rows are the
// same from wherever they are come to: at multiples of 256 bytes with no line's end in the 256 bytes before.

const BREAK = 256n;
const NEWLINE = 10;
// Seen as nothing, or changing how the rest is seen: controls, and marks that hide or turn text.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]|[\u{e0000}-\u{e0fff}]/u;

class TextLayout {
  constructor(pages, marked) {
    this.pages = pages;
    this.marked = marked;
    this.label = "Bytes as UTF-8 text";
    this.role = "document";
    this.className = "moc-text";
    this.rowBytes = BREAK;
    this.decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  }

  rowCount() {
    // Of what is here in the beginning; the bar needs no more than a likeness.
    if (this.countedFor !== this.pages.first) {
      this.countedFor = this.pages.first;
      let rows = 0;
      let offset = this.pages.size ? 0n : null;
      const end = BigInt(this.pages.first.length);
      let covered = 0n;
      while (offset !== null && offset !== undefined && offset < end) {
        covered = offset;
        rows += 1;
        offset = this.next(offset);
      }
      const all = offset === null;
      this.rowsEach = all || rows < 2 ? rows / Math.max(Number(this.pages.size), 1) : (rows - 1) / Number(covered);
    }
    return Math.max(1, Math.round(Number(this.pages.size) * this.rowsEach));
  }

  share(offset, part, visible) {
    const most = Number(this.pages.size) - visible / (this.rowsEach || 1);
    return most > 0 ? (Number(offset) + part / (this.rowsEach || 1)) / most : 0;
  }

  place(share) {
    const size = this.pages.size;
    return [share >= 1 ? bigMax(size - 1n, 0n) : (size * BigInt(Math.round(share * 2 ** 40))) >> 40n, 0];
  }

  // The last line's end before `stop` and not before `start`, -1n if there is none; undefined if bytes are missing.
  lineEnd(start, stop) {
    const bytes = this.pages.bytes(start, stop);
    if (!bytes) {
      return undefined;
    }
    const at = bytes.lastIndexOf(NEWLINE);
    return at < 0 ? -1n : start + BigInt(at);
  }

  // Where the row begins that a long line has at about `at`, a multiple of 256; null if none does.
  breakAt(at) {
    const size = this.pages.size;
    const end = this.lineEnd(bigMax(at - BREAK, 0n), at);
    if (end === undefined) {
      return undefined;
    }
    if (end >= 0n || at === 0n) {
      return null;
    }
    const bytes = this.pages.bytes(at, bigMin(at + 4n, size));
    if (!bytes) {
      return undefined;
    }
    let skipped = 0;
    while (skipped < Math.min(3, bytes.length) && (bytes[skipped] & 0xc0) === 0x80) {
      skipped += 1;
    }
    const start = at + BigInt(skipped);
    return start < size ? start : null;
  }

  rowAt(offset) {
    let floor = offset - (offset % BREAK);
    let from = offset;
    for (let tries = 0; tries < 4; tries += 1) {
      const end = from > floor ? this.lineEnd(floor, from) : -1n;
      if (end === undefined) {
        return undefined;
      }
      const start = this.breakAt(floor);
      if (start === undefined) {
        return undefined;
      }
      const best = bigMax(end >= 0n ? end + 1n : -1n, start !== null && start <= offset ? start : -1n);
      if (best >= 0n) {
        return best;
      }
      if (floor === 0n) {
        return 0n;
      }
      from = floor;
      floor -= BREAK;
    }
    return floor;
  }

  next(offset) {
    const size = this.pages.size;
    let from = offset;
    for (let tries = 0; tries < 4; tries += 1) {
      const to = bigMin(from - (from % BREAK) + BREAK, size);
      const bytes = this.pages.bytes(from, to);
      if (!bytes) {
        return undefined;
      }
      const at = bytes.indexOf(NEWLINE);
      if (at >= 0) {
        const next = from + BigInt(at) + 1n;
        return next < size ? next : null;
      }
      if (to >= size) {
        return null;
      }
      const start = this.breakAt(to);
      if (start === undefined) {
        return undefined;
      }
      if (start !== null && start > offset) {
        return start;
      }
      from = to;
    }
    return from;
  }

  // Where to go on below a row whose bytes are not here.
  after(offset) {
    return offset + BREAK < this.pages.size ? offset + BREAK : null;
  }

  row() {
    const [place, line] = ["moc-offset", "moc-line"].map((name) => make("span", { class: name }));
    return { element: make("div", { class: "moc-row" }, place, line), place, line };
  }

  fill(row, offset, next) {
    row.place.textContent = grouped(offset);
    const bytes = next === undefined ? undefined : this.pages.bytes(offset, next === null ? this.pages.size : next);
    if (!bytes) {
      row.line.textContent = "…";
      return;
    }
    const mark = this.marked(offset, offset + BigInt(bytes.length));
    const content = withoutLineEnd(bytes);
    if (!mark) {
      try {
        const text = this.decoder.decode(content);
        if (!UNSEEN.test(text)) {
          row.line.textContent = text;
          return;
        }
      } catch {
        // Not UTF-8: byte by byte below.
      }
    }
    row.line.replaceChildren(...textParts(content, mark));
  }
}

function withoutLineEnd(bytes) {
  let end = bytes.length;
  if (end && bytes[end - 1] === NEWLINE) {
    end -= 1;
    if (end && bytes[end - 1] === 13) {
      end -= 1;
    }
  }
  return bytes.subarray(0, end);
}

// How many bytes the character at `at` has; 0 when it is none.
function characterBytes(bytes, at) {
  const lead = bytes[at];
  if (lead < 0x80) {
    return 1;
  }
  const length = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (!length || at + length > bytes.length) {
    return 0;
  }
  for (let index = 1; index < length; index += 1) {
    if ((bytes[at + index] & 0xc0) !== 0x80) {
      return 0;
    }
  }
  const second = bytes[at + 1];
  const isWrong =
    (lead === 0xe0 && second < 0xa0) || (lead === 0xed && second >= 0xa0) ||
    (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second >= 0x90);
  return isWrong ? 0 : length;
}

// Nodes for the bytes of one row: what is no text, or would not be seen, as escapes; what is in `mark` marked.
function textParts(bytes, mark) {
  const decoder = new TextDecoder();
  const parts = [];
  let last = null;
  const add = (text, kind, isMarked) => {
    if (!last || last.kind !== kind || last.isMarked !== isMarked) {
      last = { text: "", kind, isMarked };
      parts.push(last);
    }
    last.text += text;
  };
  for (let at = 0; at < bytes.length; ) {
    const length = characterBytes(bytes, at);
    const isMarked = Boolean(mark) && at >= mark[0] && at < mark[1];
    if (!length) {
      add(`\\x${HEX[bytes[at]]}`, "moc-no-text", isMarked);
      at += 1;
      continue;
    }
    const text = decoder.decode(bytes.subarray(at, at + length));
    if (length === 3 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) {
      add("\\ufeff", "moc-unseen", isMarked);
    } else if (UNSEEN.test(text)) {
      const code = text.codePointAt(0);
      add(code < 256 ? `\\x${HEX[code]}` : `\\u{${code.toString(16)}}`, "moc-unseen", isMarked);
    } else {
      add(text, "", isMarked);
    }
    at += length;
  }
  return parts.map(({ text, kind, isMarked }) => make(isMarked ? "mark" : "span", kind ? { class: kind } : {}, text));
}

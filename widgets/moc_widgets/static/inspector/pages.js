// The bytes that are here: pages as they came, the latest used kept, and what is wanted asked for.

const PAGE_BYTES = 65536;
const PAGE = BigInt(PAGE_BYTES);
const PAGES_KEPT = 256;
const ASK_AGAIN_MS = 4000;
const ASK_PAUSE_MS = 20;

class Pages {
  // `ask` sends a list of offsets; `onpage` is told when a page came.
  constructor(ask, onpage) {
    this.ask = ask;
    this.onpage = onpage;
    this.open(0n, new Uint8Array(0));
  }

  // Begin anew with a content of `size` bytes that begins with `first`.
  open(size, first) {
    this.size = size;
    this.first = first;
    this.isPaused = false;
    this.clear();
  }

  clear() {
    this.kept = new Map();
    this.asked = new Set();
    this.askedAt = -Infinity;
    clearTimeout(this.timer);
    this.timer = 0;
  }

  put(start, bytes) {
    const index = start / PAGE;
    this.kept.delete(index);
    this.kept.set(index, bytes);
    this.asked.delete(index);
    if (this.kept.size > PAGES_KEPT) {
      this.kept.delete(this.kept.keys().next().value);
    }
    this.onpage();
  }

  page(index) {
    const bytes = this.kept.get(index);
    if (bytes) {
      this.kept.delete(index);
      this.kept.set(index, bytes);
    }
    return bytes;
  }

  // Bytes [start, stop), or undefined when some of them are not here.
  bytes(start, stop) {
    if (stop <= BigInt(this.first.length)) {
      return this.first.subarray(Number(start), Number(stop));
    }
    const from = start / PAGE;
    const to = (stop - 1n) / PAGE;
    if (from === to || stop <= start) {
      const page = this.page(from);
      return page && page.subarray(Number(start - from * PAGE), Number(stop - from * PAGE));
    }
    const joined = new Uint8Array(Number(stop - start));
    for (let index = from; index <= to; index += 1n) {
      const page = this.page(index);
      if (!page) {
        return undefined;
      }
      const begin = bigMax(start - index * PAGE, 0n);
      const end = bigMin(stop - index * PAGE, PAGE);
      joined.set(page.subarray(Number(begin), Number(end)), Number(index * PAGE + begin - start));
    }
    return joined;
  }

  // Say which bytes are on the screen: their pages are asked for, then their neighbours; what was asked for before and
  // is wanted no more is forgotten.
  want(start, stop) {
    if (this.isPaused || this.size === 0n || stop <= BigInt(this.first.length)) {
      return;
    }
    const last = (this.size - 1n) / PAGE;
    const from = start / PAGE;
    const to = bigMin((bigMax(stop, start + 1n) - 1n) / PAGE, last);
    const missing = [];
    for (let index = from; index <= to; index += 1n) {
      missing.push(index);
    }
    missing.push(to + 1n, from - 1n);
    this.wanted = missing.filter((index) => index >= 0n && index <= last && !this.kept.has(index));
    this.request();
  }

  request() {
    const now = performance.now();
    const isNew = this.wanted.some((index) => !this.asked.has(index));
    if (!this.wanted.length || this.timer || (!isNew && now - this.askedAt < ASK_AGAIN_MS)) {
      return;
    }
    const pause = ASK_PAUSE_MS - (now - this.askedAt);
    if (pause > 0) {
      this.timer = setTimeout(() => {
        this.timer = 0;
        this.wanted = this.wanted.filter((index) => !this.kept.has(index));
        this.request();
      }, pause);
      return;
    }
    this.asked = new Set(this.wanted);
    this.askedAt = now;
    this.ask(this.wanted.map((index) => String(index * PAGE)));
  }
}

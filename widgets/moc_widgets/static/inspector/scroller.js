// Rows of one height over any number of bytes. The scroll bar is the browser's and stands for the whole; a wheel, a
// finger on a touchpad and the keyboard move by rows exactly, however many there are: browsers end at about 30 million
// pixels, so beyond that the bar's pixels are many rows each.
//
// What rows are is a layout's affair: `next`, `rowAt` and `fill` work on offsets, and give undefined for bytes that are
// not here yet.

const MOST_PIXELS = 8_000_000;

class Scroller {
  constructor(pages, onmove) {
    this.pages = pages;
    this.onmove = onmove;
    this.top = 0n;
    this.shift = 0;
    this.rows = [];
    this.rowHeight = 20;
    this.schedule = oncePerFrame(() => this.draw());
    this.view = make("div", { class: "moc-rows" });
    this.spacer = make("div", { class: "moc-spacer" }, this.view);
    this.element = make("div", {
      class: "moc-scroller",
      tabindex: "0",
      onkeydown: (event) => this.key(event),
      onscroll: () => this.dragged(),
    });
    this.element.append(this.spacer);
    this.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.resizes = new ResizeObserver(() => this.resized());
    this.resizes.observe(this.element);
  }

  use(layout) {
    this.layout = layout;
    this.element.setAttribute("aria-label", layout.label);
    this.element.setAttribute("role", layout.role);
    this.view.className = `moc-rows ${layout.className}`;
    this.view.replaceChildren();
    this.rows = [];
    this.shift = 0;
    this.resized();
  }

  dispose() {
    this.resizes.disconnect();
  }

  get size() {
    return this.pages.size;
  }

  get visibleRows() {
    return Math.max(1, Math.ceil(this.element.clientHeight / this.rowHeight));
  }

  resized() {
    if (!this.layout || !this.element.clientHeight) {
      return;
    }
    const height = Math.min(Math.max(this.layout.rowCount() * this.rowHeight, 1), MOST_PIXELS);
    this.spacer.style.height = `${height}px`;
    this.view.style.height = `${this.element.clientHeight}px`;
    this.schedule();
  }

  // -- moving ---------------------------------------------------------------------------------------------------------

  // Show the row that `offset` is in, at the top or, with `near`, where it is not at the edge.
  seek(offset, near = false) {
    this.top = bigMax(bigMin(offset, this.size ? this.size - 1n : 0n), 0n);
    this.shift = 0;
    this.settle = near ? Math.floor(this.visibleRows / 3) : 0;
    this.schedule();
  }

  moveRows(count) {
    this.moveBy(count * this.rowHeight);
  }

  moveBy(pixels) {
    this.settle = 0;
    this.shift += pixels;
    this.schedule();
  }

  // Take whole rows out of the shift; what lies beyond the ends, or is not here yet, is not gone to.
  normalise() {
    let guard = 10_000;
    while (this.shift >= this.rowHeight && (guard -= 1)) {
      const next = this.layout.next(this.top);
      if (next === undefined || next === null) {
        this.shift = 0;
        break;
      }
      this.top = next;
      this.shift -= this.rowHeight;
    }
    while (this.shift < 0 && (guard -= 1)) {
      const before = this.top > 0n ? this.layout.rowAt(this.top - 1n) : null;
      if (before === undefined || before === null) {
        this.shift = 0;
        break;
      }
      this.top = before;
      this.shift += this.rowHeight;
    }
  }

  // Let the last row stand at the bottom, never higher; tells whether it does.
  stopAtEnd() {
    if (!this.size) {
      return true;
    }
    const height = this.element.clientHeight;
    let bottom = this.rowHeight - this.shift;
    for (let row = this.top; ; bottom += this.rowHeight) {
      if (bottom > height + 0.5) {
        return false;
      }
      row = this.layout.next(row);
      if (row === undefined) {
        return false;
      }
      if (row === null) {
        break;
      }
    }
    if (bottom < height) {
      this.shift -= height - bottom;
      this.normalise();
    }
    return true;
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1);
    const moves = {
      ArrowDown: () => this.moveRows(1),
      ArrowUp: () => this.moveRows(-1),
      PageDown: () => this.moveRows(page),
      PageUp: () => this.moveRows(-page),
      " ": () => this.moveRows(event.shiftKey ? -page : page),
      Home: () => this.seek(0n),
      End: () => this.seek(this.size),
    };
    const move = moves[event.key];
    if (move && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      move();
    }
  }

  wheel(event) {
    const pixels = event.deltaY * [1, this.rowHeight, this.element.clientHeight][event.deltaMode];
    // Sideways, and beyond the ends, the wheel is the browser's.
    const isAtEnd = pixels < 0 ? this.top === 0n && this.shift <= 0 : this.isAtEnd;
    if (!pixels || event.ctrlKey || event.shiftKey || isAtEnd) {
      return;
    }
    event.preventDefault();
    this.moveBy(pixels);
  }

  dragged() {
    const position = this.element.scrollTop;
    if (Math.abs(position - this.placed) <= 1) {
      return;
    }
    const most = this.element.scrollHeight - this.element.clientHeight;
    const share = most > 0 ? Math.min(position / most, 1) : 0;
    this.placed = position;
    this.settle = 0;
    [this.top, this.shift] = this.layout.place(share, this.element.clientHeight / this.rowHeight, this.rowHeight);
    this.isDragged = true;
    this.schedule();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  draw() {
    if (!this.layout || !this.element.clientHeight) {
      return;
    }
    const start = this.size ? this.layout.rowAt(this.top) : 0n;
    const reach = BigInt(this.visibleRows + 2) * this.layout.rowBytes;
    this.pages.want(bigMax(this.top - this.layout.rowBytes * 2n, 0n), bigMin(this.top + reach, this.size));
    if (start !== undefined) {
      this.top = start;
      for (; this.settle > 0 && this.top > 0n; this.settle -= 1) {
        const before = this.layout.rowAt(this.top - 1n);
        if (before === undefined) {
          break;
        }
        this.top = before;
      }
      this.normalise();
      this.isAtEnd = this.stopAtEnd();
    }
    this.fill(start !== undefined);
    this.bar();
    this.onmove(this.top);
  }

  fill(isHere) {
    const count = this.visibleRows + 1;
    while (this.rows.length < count) {
      const row = this.layout.row();
      this.rows.push(row);
      this.view.append(row.element);
    }
    let offset = this.size ? this.top : null;
    this.rows.forEach((row, index) => {
      const isShown = index < count && offset !== null;
      row.element.hidden = !isShown;
      if (!isShown) {
        return;
      }
      const next = isHere && offset !== undefined ? this.layout.next(offset) : undefined;
      this.layout.fill(row, offset, next);
      offset = next === undefined ? this.layout.after(offset) : next;
    });
    this.view.style.setProperty("--moc-shift", `${-Math.round(this.shift)}px`);
  }

  // Let the bar follow, unless it leads.
  bar() {
    const most = this.element.scrollHeight - this.element.clientHeight;
    const share = this.layout.share(this.top, this.shift / this.rowHeight, this.element.clientHeight / this.rowHeight);
    const position = this.isAtEnd ? most : Math.min(share * most, most);
    if (!this.isDragged) {
      this.placed = position;
      if (Math.abs(this.element.scrollTop - position) > 0.5) {
        this.element.scrollTop = position;
        this.placed = this.element.scrollTop;
      }
    }
    this.isDragged = false;
  }
}

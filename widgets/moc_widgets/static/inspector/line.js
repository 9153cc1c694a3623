// One axis of an array as a line; of a long one each pixel shows the lowest and the highest value that it stands for.

const LINE_WIDTH = 1024;
const LINE_HEIGHT = 280;

class LineView {
  // `onpart` is told which part of the line is wanted.
  constructor(onpart) {
    this.onpart = onpart;
    this.area = make("svg:path", { class: "moc-line-area" });
    this.path = make("svg:path", { class: "moc-line-path" });
    this.rule = make("svg:line", { class: "moc-line-rule", y1: "0", y2: LINE_HEIGHT });
    this.pick = make("svg:rect", { class: "moc-line-pick", y: "0", height: LINE_HEIGHT });
    this.drawing = make("svg:svg", { viewBox: `0 0 ${LINE_WIDTH} ${LINE_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.pick, this.area, this.path, this.rule);
    this.frame = make("div", {
      class: "moc-line-frame",
      tabindex: "0",
      role: "img",
      onkeydown: (event) => this.key(event),
      onpointermove: (event) => this.point(event),
      onpointerleave: () => !this.from && this.lookAt(null),
      onpointerdown: (event) => this.press(event),
      onpointerup: () => this.release(),
    }, this.drawing);
    this.high = make("span", { class: "moc-high" });
    this.low = make("span", { class: "moc-low" });
    this.readout = make("output", { class: "moc-readout", "aria-live": "polite" });
    this.span = make("span", { class: "moc-axis-column" });
    this.note = make("div", { class: "moc-note" });
    this.wider = button("Zoom out", () => this.zoom(2), { title: "Zoom out (−)" });
    this.whole = button("Whole line", () => this.onpart(0, this.length), { title: "Show all of it (0)" });
    this.element = make("div", { class: "moc-line-view" },
      make("div", { class: "moc-line-grid" }, make("div", { class: "moc-line-scale" }, this.high, this.low), this.frame, this.span),
      make("div", { class: "moc-map-foot" }, this.readout, this.wider, this.whole), this.note);
  }

  show(message, views, name, length) {
    [this.start, this.stop] = [Number(message.start), Number(message.stop)];
    [this.name, this.length, this.isOutline] = [name, length, message.is_outline];
    if (message.is_outline) {
      [this.lows, this.highs] = views.map((view) => elementsIn("float64", view));
    } else {
      this.lows = this.highs = elementsIn(message.dtype, views[0]);
    }
    const ends = [rangeOf(this.lows), rangeOf(this.highs)];
    this.range = ends[0] && ends[1] ? [ends[0][0], ends[1][1]] : null;
    this.plot();
    const values = this.range ? `from ${shortNumber(this.range[0])} to ${shortNumber(this.range[1])}` : "without a finite value";
    this.frame.setAttribute("aria-label", `Line of ${name}, ${values}. Arrow keys read values, plus and minus zoom.`);
    this.high.textContent = this.range ? shortNumber(this.range[1]) : "";
    this.low.textContent = this.range && this.range[0] !== this.range[1] ? shortNumber(this.range[0]) : "";
    this.span.textContent = this.stop > this.start ? `${name} ${grouped(this.start)} … ${grouped(this.stop - 1)}` : "";
    const isPart = this.start > 0 || this.stop < length;
    this.wider.hidden = this.whole.hidden = !isPart;
    const done = message.done === undefined ? 1 : Number(message.done) / (this.stop - this.start);
    const notes = [];
    if (!this.lows.length) {
      notes.push("There are no elements.");
    } else if (done < 1) {
      notes.push(`Reading… ${Math.floor(100 * done)} %`);
    } else if (!this.range) {
      notes.push("No finite value is here: all are NaN or infinite.");
    } else if (this.range[0] === this.range[1]) {
      notes.push(`All finite values here are ${shortNumber(this.range[0])}.`);
    } else if (this.isOutline) {
      notes.push("The band spans the lowest and the highest value at each place. Drag over a part to look closer.");
    }
    this.note.textContent = notes.join(" ");
    this.lookAt(this.at < this.lows.length ? this.at : null);
  }

  x(index) {
    const count = this.lows.length;
    return count > 1 ? (index / (count - 1)) * LINE_WIDTH : LINE_WIDTH / 2;
  }

  y(value) {
    const [low, high] = this.range;
    const margin = 8;
    const share = high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0.5;
    return LINE_HEIGHT - margin - Math.min(Math.max(share, 0), 1) * (LINE_HEIGHT - 2 * margin);
  }

  plot() {
    this.path.setAttribute("d", this.range && !this.isOutline ? this.trace(this.lows) : "");
    this.area.setAttribute("d", this.range && this.isOutline ? this.band() : "");
  }

  // A line that is broken where there is no number; a value alone is a short dash.
  trace(values) {
    let text = "";
    let isDrawing = false;
    for (let index = 0; index < values.length; index += 1) {
      const value = values.number(index);
      if (Number.isNaN(value)) {
        isDrawing = false;
        continue;
      }
      const [x, y] = [this.x(index).toFixed(1), this.y(value).toFixed(1)];
      text += isDrawing ? `L${x} ${y}` : `M${x} ${y}h0.01`;
      isDrawing = true;
    }
    return text;
  }

  band() {
    let text = "";
    let run = [];
    const flush = () => {
      if (run.length) {
        const there = run.map(([x, top]) => `${x} ${top.toFixed(1)}`);
        // Never thinner than a line, or a calm stretch would not be seen.
        const back = run.map(([x, top, bottom]) => `${x} ${Math.max(bottom, top + 1.5).toFixed(1)}`).reverse();
        text += `M${[...there, ...back].join("L")}Z`;
        run = [];
      }
    };
    for (let index = 0; index < this.lows.length; index += 1) {
      const [low, high] = [this.lows.number(index), this.highs.number(index)];
      if (Number.isNaN(low) || Number.isNaN(high)) {
        flush();
      } else {
        run.push([this.x(index).toFixed(1), this.y(high), this.y(low)]);
      }
    }
    flush();
    return text;
  }

  indexAt(event) {
    const box = this.drawing.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return Math.round(share * (this.lows.length - 1));
  }

  point(event) {
    if (!this.lows?.length) {
      return;
    }
    const index = this.indexAt(event);
    this.lookAt(index);
    if (this.from !== undefined) {
      const ends = [this.x(this.from), this.x(index)].sort((one, other) => one - other);
      this.pick.setAttribute("x", ends[0]);
      this.pick.setAttribute("width", ends[1] - ends[0]);
    }
  }

  press(event) {
    if (this.lows?.length && event.button === 0) {
      this.frame.setPointerCapture(event.pointerId);
      this.from = this.indexAt(event);
    }
  }

  release() {
    const [from, to] = [this.from, this.at];
    this.from = undefined;
    this.pick.setAttribute("width", "0");
    if (from !== undefined && to !== null && Math.abs(to - from) > 2) {
      const places = [from, to].map((index) => this.place(index)).sort((one, other) => one - other);
      this.onpart(places[0], places[1] + 1);
    }
  }

  // The first element that point `index` stands for.
  place(index) {
    return this.start + Math.ceil((index * (this.stop - this.start)) / this.lows.length);
  }

  zoom(factor) {
    const middle = this.at === null ? (this.start + this.stop) / 2 : this.place(this.at);
    const length = Math.max(16, Math.round((this.stop - this.start) * factor));
    const start = Math.min(Math.max(0, Math.round(middle - length / 2)), Math.max(0, this.length - length));
    this.onpart(start, Math.min(start + length, this.length));
  }

  key(event) {
    const count = this.lows?.length || 0;
    const from = this.at ?? Math.floor(count / 2);
    const moves = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 50, PageDown: from + 50, Home: 0, End: count - 1 };
    const zooms = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.onpart(0, this.length) };
    if (!count || event.ctrlKey || event.metaKey || (!(event.key in moves) && !zooms[event.key])) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (zooms[event.key]) {
      zooms[event.key]();
    } else {
      this.lookAt(Math.min(Math.max(moves[event.key], 0), count - 1));
    }
  }

  lookAt(index) {
    this.at = index;
    const isThere = index !== null && this.lows?.length > 0;
    this.rule.style.display = isThere ? "" : "none";
    if (!isThere) {
      this.readout.textContent = "";
      return;
    }
    this.rule.setAttribute("x1", this.x(index));
    this.rule.setAttribute("x2", this.x(index));
    const [first, after] = [this.place(index), this.place(index + 1)];
    const value = this.isOutline
      ? `${shortNumber(this.lows.number(index))} to ${shortNumber(this.highs.number(index))}`
      : this.lows.text(index);
    const span = this.isOutline && after - first > 1 ? `${grouped(first)} … ${grouped(after - 1)}` : grouped(first);
    this.readout.textContent = `${this.name} ${span}: ${value}`;
  }
}

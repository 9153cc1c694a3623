// Two axes of an array as a heat map, with the value under the pointer, or under the cursor that the arrows move.

const MAP_WIDTH = 640;
const MAP_HEIGHT = 360;
const MAP_LEAST = 56;

class PlaneView {
  // `onwindow` is told where a window of a large plane is to begin.
  constructor(onwindow) {
    this.onwindow = onwindow;
    this.canvas = make("canvas", { class: "moc-map" });
    this.cursor = make("div", { class: "moc-cursor", hidden: true });
    this.frame = make("div", {
      class: "moc-map-frame",
      tabindex: "0",
      role: "img",
      onkeydown: (event) => this.key(event),
      onpointermove: (event) => this.point(event),
      onpointerleave: () => this.lookAt(null),
      onfocus: () => this.at === null && this.lookAt([0, 0]),
    }, this.canvas, this.cursor);
    this.readout = make("output", { class: "moc-readout", "aria-live": "polite" });
    this.note = make("div", { class: "moc-note" });
    this.bar = colourBar();
    this.window = make("div", { class: "moc-tools-group", hidden: true });
    this.columnName = make("div", { class: "moc-axis-column" });
    this.rowName = make("div", { class: "moc-axis-row" });
    this.element = make("div", { class: "moc-plane" },
      this.window,
      make("div", { class: "moc-map-grid" }, this.rowName, this.frame, this.columnName),
      make("div", { class: "moc-map-foot" }, this.bar.element, this.readout), this.note);
    this.at = null;
  }

  // Show what came; `fixed` are the ends of the colours when they do not depend on what is shown.
  show(message, view, names, lengths, fixed) {
    this.elements = elementsIn(message.dtype, view);
    this.names = names;
    [this.height, this.width] = [message.height, message.width];
    [this.rows, this.columns] = [message.rows, message.columns].map(({ start, stop, step }) => ({
      start: Number(start), stop: Number(stop), step: Number(step),
    }));
    this.lengths = lengths;
    this.own = rangeOf(this.elements);
    this.recolour(fixed);
    this.measure();
    this.describe();
    this.tellWindow();
    if (this.at && (this.at[0] >= this.height || this.at[1] >= this.width)) {
      this.at = null;
    }
    this.lookAt(this.at);
  }

  recolour(fixed) {
    if (!this.elements) {
      return;
    }
    this.range = fixed || this.own;
    paint(this.canvas, this.width, this.height, this.elements, this.range);
    this.bar.show(this.range);
  }

  // As large as there is room for in the plane's own proportions; one that is very long or flat is stretched.
  measure() {
    const scale = Math.min(MAP_WIDTH / this.width, MAP_HEIGHT / this.height);
    this.frame.style.width = `${Math.max(Math.round(this.width * scale), MAP_LEAST)}px`;
    this.frame.style.height = `${Math.max(Math.round(this.height * scale), MAP_LEAST)}px`;
  }

  describe() {
    const [rowName, columnName] = this.names;
    this.rowName.textContent = `${rowName} ${this.spanText(this.rows)}`;
    this.columnName.textContent = `${columnName} ${this.spanText(this.columns)}`;
    const values = this.range ? `from ${shortNumber(this.range[0])} to ${shortNumber(this.range[1])}` : "without a finite value";
    this.frame.setAttribute("aria-label",
      `Heat map of ${rowName} by ${columnName}, ${values}. Arrow keys read single values.`);
    const notes = [];
    if (!this.elements.length) {
      notes.push("There are no elements.");
    } else if (!this.own) {
      notes.push("No finite value is here: all are NaN or infinite.");
    } else if (this.own[0] === this.own[1]) {
      notes.push(`All finite values here are ${shortNumber(this.own[0])}.`);
    }
    const steps = [[this.rows, rowName], [this.columns, columnName]].filter(([axis]) => axis.step > 1);
    if (steps.length) {
      notes.push(`Thinned out: ${steps.map(([axis, name]) => `every ${ordinal(axis.step)} of ${name}`).join(", ")}.`);
    }
    this.note.textContent = notes.join(" ");
  }

  spanText(axis) {
    return axis.stop > axis.start ? `${grouped(axis.start)} … ${grouped(axis.stop - 1)}` : "(none)";
  }

  // A large plane is seen through a window; its place can be typed and stepped.
  tellWindow() {
    const isWhole = [this.rows, this.columns].every((axis, which) => axis.start === 0 && axis.stop === this.lengths[which]);
    this.window.hidden = isWhole;
    if (isWhole) {
      return;
    }
    const fields = [this.rows, this.columns].map((axis, which) => {
      const field = make("input", {
        type: "number", min: "0", max: this.lengths[which] - 1, step: "512", value: axis.start,
        onchange: () => this.onwindow(fields.map((each) => Math.max(0, Math.trunc(Number(each.value)) || 0))),
      });
      return field;
    });
    const focused = [...this.window.querySelectorAll("input")].indexOf(document.activeElement);
    this.window.replaceChildren(...fields.map((field, which) => labelled(`${this.names[which]} from`, field)));
    if (focused >= 0) {
      fields[focused].focus();
    }
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (part, length, count) => Math.min(Math.max(Math.floor((part / length) * count), 0), count - 1);
    this.lookAt([
      place(event.clientY - box.top, box.height, this.height),
      place(event.clientX - box.left, box.width, this.width),
    ]);
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const jumps = { Home: (at) => [at[0], 0], End: (at) => [at[0], this.width - 1], PageUp: (at) => [0, at[1]], PageDown: (at) => [this.height - 1, at[1]] };
    const from = this.at || [0, 0];
    const to = moves[event.key] ? from.map((place, axis) => place + moves[event.key][axis]) : jumps[event.key]?.(from);
    if (to && this.height && this.width) {
      event.preventDefault();
      event.stopPropagation();
      this.lookAt([Math.min(Math.max(to[0], 0), this.height - 1), Math.min(Math.max(to[1], 0), this.width - 1)]);
    }
  }

  lookAt(at) {
    this.at = at && this.elements?.length ? at : null;
    this.cursor.hidden = !this.at;
    if (!this.at) {
      this.readout.textContent = "";
      return;
    }
    const [row, column] = this.at;
    const style = this.cursor.style;
    style.left = `${(100 * column) / this.width}%`;
    style.top = `${(100 * row) / this.height}%`;
    style.width = `${100 / this.width}%`;
    style.height = `${100 / this.height}%`;
    const places = [this.rows, this.columns].map((axis, which) => axis.start + this.at[which] * axis.step);
    this.readout.textContent =
      `${this.names[0]} ${grouped(places[0])}, ${this.names[1]} ${grouped(places[1])}: ${this.elements.text(row * this.width + column)}`;
  }
}

function ordinal(number) {
  const ends = { 1: "st", 2: "nd", 3: "rd" };
  const isTeen = Math.floor((number % 100) / 10) === 1;
  return number === 2 ? "second" : number === 3 ? "third" : `${number}${(!isTeen && ends[number % 10]) || "th"}`;
}

// The elements of an array, or of bytes looked at as one: what is looked at, how, and the figures over all of it.

const DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64", "complex64", "complex128", "bool"];
const FIGURES = [["count", "Count"], ["min", "Min"], ["max", "Max"], ["mean", "Mean"], ["std", "Std"], ["nans", "NaN"], ["infinities", "Infinite"]];
// Above this the figures are worked out when they are asked for.
const FIGURES_AT_ONCE = 1n << 30n;

class ArrayView {
  constructor(channel) {
    this.channel = channel;
    this.job = 0;
    this.plane = new PlaneView((start) => this.askWindow(start));
    this.line = new LineView((start, stop) => this.askLine(start, stop));
    this.tools = make("div", { class: "moc-tools" });
    this.slices = make("div", { class: "moc-slices" });
    this.stage = make("div", { class: "moc-stage" });
    this.figures = make("dl", { class: "moc-figures" });
    this.cells = {};
    for (const [key, title] of FIGURES) {
      this.cells[key] = make("dd", {}, "–");
      this.figures.append(make("div", {}, make("dt", {}, title), this.cells[key]));
    }
    this.progress = make("progress", { max: "1", "aria-label": "Working out the figures" });
    this.toggle = button("", () => this.toggleFigures());
    this.status = make("span", { class: "moc-status", role: "status", "aria-live": "polite" });
    this.element = make("div", { class: "moc-array" }, this.tools, this.slices, this.stage,
      make("div", { class: "moc-figures-line" }, this.figures, this.progress, this.toggle, this.status));
    this.askSoon = oncePerFrame(() => this.ask());
  }

  // Begin with what is told of the buffer; what was chosen before is kept where it still fits.
  open(about) {
    this.about = about;
    this.size = BigInt(about.size);
    const sources = about.array ? [about.array] : about.members;
    const all = about.array ? [about.array, ...about.members] : about.members;
    this.sources = all.length ? all : null;
    if (this.sources && !this.sources.some((each) => each.path === this.member)) {
      this.member = sources[0].path;
    }
    this.dtype = this.dtype || "uint8";
    this.bigEndian = Boolean(this.bigEndian);
    this.hasBegun = false;
    this.choose();
    if (this.isShown) {
      this.begin();
    }
  }

  setShown(isShown) {
    this.isShown = isShown;
    if (isShown && this.about && !this.hasBegun) {
      this.begin();
    }
  }

  begin() {
    this.hasBegun = true;
    this.ask();
    this.beginFigures();
  }

  get source() {
    return this.sources?.find((each) => each.path === this.member);
  }

  get isComplex() {
    return (this.source?.dtype || this.dtype).startsWith("complex");
  }

  // Take the shape of what is looked at, and let what cannot be chosen any more go.
  choose() {
    const itemsize = BigInt({ complex128: 16 }[this.dtype] || READERS[this.dtype]?.[0] || 8);
    this.shape = this.source ? this.source.shape.map(Number) : [Number(this.size / itemsize)];
    this.left = this.source ? 0n : this.size % itemsize;
    const key = `${this.member}|${this.shape.join()}`;
    if (key !== this.key) {
      this.key = key;
      this.at = this.shape.map(() => 0);
      this.axes = [this.shape.length - 2, this.shape.length - 1];
      this.mode = this.shape.length >= 2 ? "plane" : "line";
      this.corner = [0, 0];
      this.part = null;
    }
    this.build();
  }

  name(axis) {
    return this.source?.dims[axis] || (this.shape.length === 1 ? "element" : `axis ${axis}`);
  }

  build() {
    const tools = [];
    if (this.sources && this.sources.length > 1) {
      tools.push(labelled("array", choice(this.sources.map((each) => [each.path, each.path || "main"]), this.member, (value) => {
        this.member = value;
        this.changed();
      })));
    }
    if (!this.source) {
      tools.push(labelled("as", choice(DTYPES.map((each) => [each, each]), this.dtype, (value) => {
        this.dtype = value;
        this.changed();
      })));
      tools.push(labelled("byte order", choice([["little", "little-endian"], ["big", "big-endian"]], this.bigEndian ? "big" : "little", (value) => {
        this.bigEndian = value === "big";
        this.changed();
      })));
    }
    if (this.shape.length >= 2) {
      const names = this.shape.map((_, axis) => [axis, this.name(axis)]);
      tools.push(labelled("show", choice([["plane", "heat map"], ["line", "line"]], this.mode, (value) => {
        this.mode = value;
        this.part = null;
        this.build();
        this.askSoon();
      })));
      const titles = this.mode === "plane" ? ["rows", "columns"] : [null, "along"];
      titles.forEach((title, which) => title && tools.push(labelled(title, choice(names, this.axes[which], (value) => {
        // Two axes at most change places.
        const other = 1 - which;
        if (this.axes[other] === Number(value)) {
          this.axes[other] = this.axes[which];
        }
        this.axes[which] = Number(value);
        this.part = null;
        this.corner = [0, 0];
        this.build();
        this.askSoon();
      }))));
      if (this.mode === "plane") {
        this.same = make("input", { type: "checkbox", onchange: () => this.plane.recolour(this.fixed()) });
        this.same.checked = this.isSame !== false && Boolean(this.isSame);
        this.same.addEventListener("change", () => { this.isSame = this.same.checked; });
        tools.push(labelled("same colours for all slices", this.same, { class: "moc-field moc-check" }));
      }
    }
    const focus = [...this.tools.querySelectorAll("select,input")].indexOf(document.activeElement);
    this.tools.replaceChildren(...tools);
    this.tools.hidden = !tools.length;
    if (focus >= 0) {
      this.tools.querySelectorAll("select,input")[focus]?.focus();
    }
    const shown = this.mode === "plane" ? this.axes : this.axes.slice(1);
    const sliders = this.shape.map((length, axis) => (shown.includes(axis) || this.shape.length < 2 ? null : this.slider(axis, length)));
    this.slices.replaceChildren(...sliders.filter((each) => each));
    this.slices.hidden = !this.slices.children.length;
    this.stage.replaceChildren(this.mode === "plane" ? this.plane.element : this.line.element);
  }

  slider(axis, length) {
    const last = Math.max(length - 1, 0);
    const set = (value) => {
      const place = Math.min(Math.max(Math.trunc(Number(value)) || 0, 0), last);
      range.value = place;
      if (place !== this.at[axis]) {
        this.at[axis] = place;
        this.askSoon();
      }
    };
    // What is being typed is left alone until it is done.
    const finish = () => {
      set(field.value);
      field.value = this.at[axis];
    };
    const name = this.name(axis);
    const range = make("input", { type: "range", min: "0", max: last, value: this.at[axis], "aria-label": `${name}, slider`, oninput: () => { set(range.value); field.value = range.value; } });
    const field = make("input", { type: "number", min: "0", max: last, value: this.at[axis], "aria-label": name, oninput: () => field.value && set(field.value), onchange: finish });
    return make("div", { class: "moc-slice" }, make("span", { class: "moc-slice-name" }, name), range, field,
      make("span", { class: "moc-slice-of" }, `of ${grouped(length)}`));
  }

  // -- asking ---------------------------------------------------------------------------------------------------------

  changed() {
    this.choose();
    this.ask();
    this.beginFigures();
  }

  request(message) {
    this.job += 1;
    this.isAsking = true;
    this.stage.setAttribute("aria-busy", "true");
    this.channel.send({ ...message, job: this.job, member: this.member || "", dtype: this.dtype, big_endian: this.bigEndian, at: this.at.map(String) });
  }

  ask() {
    if (!this.shape.length) {
      // An array without axes has one element: a line of one is asked of nothing, so its figures show it.
      this.stage.replaceChildren(make("div", { class: "moc-note" }, "One value, without axes: see below."));
      return;
    }
    if (this.mode === "plane") {
      const [row, column] = this.corner;
      this.request({ type: "plane", rows: String(this.axes[0]), columns: String(this.axes[1]), row: String(row), column: String(column) });
    } else {
      const axis = this.lineAxis;
      const [start, stop] = this.part || [0, this.shape[axis]];
      this.request({ type: "line", axis: String(axis), start: String(start), stop: String(stop) });
    }
  }

  get lineAxis() {
    return this.shape.length === 1 ? 0 : this.axes[1];
  }

  askWindow(corner) {
    this.corner = corner;
    this.ask();
  }

  askLine(start, stop) {
    this.part = [start, stop];
    this.ask();
  }

  // Figures of everything, if they are here, as the ends of the colours.
  fixed() {
    if (!this.same?.checked || !this.ends) {
      return null;
    }
    return this.ends;
  }

  beginFigures() {
    const itemsize = BigInt(READERS[this.source?.dtype]?.[0] || 16);
    const size = this.source ? this.shape.reduce((product, length) => product * BigInt(length), itemsize) : this.size;
    this.ends = null;
    if (this.same) {
      this.same.disabled = true;
    }
    Object.values(this.cells).forEach((cell) => { cell.textContent = "–"; });
    this.figures.firstChild.parentElement.classList.toggle("moc-of-magnitudes", this.isComplex);
    if (size <= FIGURES_AT_ONCE) {
      this.askFigures();
    } else {
      this.endFigures("Work out the figures");
    }
  }

  askFigures() {
    this.figuresJob = (this.figuresJob || 0) + 1;
    this.isWorking = true;
    this.progress.hidden = false;
    this.progress.removeAttribute("value");
    this.toggle.textContent = "Stop";
    this.toggle.hidden = true;
    clearTimeout(this.patience);
    // What is over at once needs no button.
    this.patience = setTimeout(() => { this.toggle.hidden = !this.isWorking; }, 400);
    this.channel.send({ type: "statistics", job: this.figuresJob, member: this.member || "", dtype: this.dtype, big_endian: this.bigEndian });
  }

  endFigures(offer) {
    this.isWorking = false;
    this.progress.hidden = true;
    this.toggle.hidden = !offer;
    this.toggle.textContent = offer || "";
  }

  toggleFigures() {
    if (this.isWorking) {
      this.channel.send({ type: "stop", what: "statistics" });
      this.endFigures("Work out the figures");
      this.status.textContent = "Stopped: of a part only.";
    } else {
      this.status.textContent = "";
      this.askFigures();
    }
  }

  // -- what comes -----------------------------------------------------------------------------------------------------

  take(message, views) {
    if (message.type === "statistics") {
      this.takeFigures(message);
      return;
    }
    if (message.job !== this.job) {
      return;
    }
    if (message.type === "line" && message.done !== undefined && message.done !== String(BigInt(message.stop) - BigInt(message.start))) {
      this.line.show(message, views, this.name(this.lineAxis), this.shape[this.lineAxis]);
      return;
    }
    this.isAsking = false;
    this.stage.removeAttribute("aria-busy");
    if (message.type === "plane") {
      const names = this.axes.map((axis) => this.name(axis));
      this.plane.show(message, views[0], names, this.axes.map((axis) => this.shape[axis]), this.fixed());
    } else if (message.type === "line") {
      this.line.show(message, views, this.name(this.lineAxis), this.shape[this.lineAxis]);
    }
  }

  takeFigures(message) {
    if (message.job !== this.figuresJob || !this.isWorking) {
      return;
    }
    this.progress.value = Number(message.done) / Math.max(Number(message.total), 1);
    for (const [key] of FIGURES) {
      this.cells[key].textContent = figureText(message.figures[key]);
      this.cells[key].title = message.figures[key] || "";
    }
    if (message.is_done) {
      this.endFigures("");
      const ends = [message.figures.min, message.figures.max].map(Number);
      this.ends = message.figures.min !== null && ends.every(Number.isFinite) ? ends : null;
      if (this.same) {
        this.same.disabled = !this.ends;
        this.plane.recolour(this.fixed());
      }
      const notes = [];
      if (this.isComplex) {
        notes.push("Of the magnitudes.");
      }
      if (this.left) {
        notes.push(`The last ${bytesText(this.left)} make no whole element.`);
      }
      this.status.textContent = notes.join(" ");
    }
  }

  // Something that was asked for went wrong; what is said about it stands above.
  fail(job) {
    if (job === this.figuresJob && this.isWorking) {
      this.endFigures("Work out the figures");
    }
    if (job === this.job) {
      this.stage.removeAttribute("aria-busy");
    }
  }
}

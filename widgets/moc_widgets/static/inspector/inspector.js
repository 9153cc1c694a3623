// One inspector: its heading, the tabs, and the view that is chosen. A channel carries what it asks for and what comes.

const VIEW_TITLES = { array: "Array", image: "Image", text: "Text", hex: "Hex" };
const SILENCE_MS = 15_000;

class Inspector {
  // The channel has `about` and `first`, what is known in the beginning; `send(message)`; and `listen(heard)`, which
  // gives what stops it.
  constructor(channel) {
    this.stops = [channel.listen((message, views) => this.take(message, views))];
    this.channel = {
      send: (message) => {
        this.expect();
        channel.send(message);
      },
    };
    this.pages = new Pages((wanted) => this.channel.send({ type: "pages", wanted }), () => this.scroller.schedule());
    this.scroller = new Scroller(this.pages, (top) => this.tellPlace(top));
    const marked = (start, stop) => this.markedPart(start, stop);
    this.layouts = { hex: new HexLayout(this.pages, marked), text: new TextLayout(this.pages, marked) };
    this.array = new ArrayView(this.channel);
    this.image = new ImageView(this.channel);
    this.search = new SearchBar(this.channel, () => this.scroller.top, (match) => this.showMatch(match));
    this.build();
    this.stops.push(() => this.scroller.dispose(), () => this.image.release(), () => clearTimeout(this.silence));
    this.open(channel.about, channel.first);
  }

  dispose() {
    this.stops.forEach((stop) => stop());
    this.root.remove();
  }

  build() {
    const id = freshId("inspector");
    this.title = make("span", { class: "moc-name" });
    this.facts = make("span", { class: "moc-facts" });
    this.details = make("details", { class: "moc-details" }, make("summary", {}, "Details"));
    this.detailList = make("dl", {});
    this.details.append(this.detailList);
    this.reload = button("Reload", () => this.askAgain(), { title: "Look at the buffer as it is now" });
    this.trouble = make("div", { class: "moc-trouble", role: "alert", hidden: true });
    this.troubleText = make("span", {});
    this.troubleReload = button("Reload", () => this.askAgain());
    this.trouble.append(this.troubleText, this.troubleReload);
    this.tabs = make("div", { class: "moc-tabs", role: "tablist", "aria-label": "Views", onkeydown: (event) => this.tabKey(event) });
    this.panelId = id;
    this.goTo = make("input", {
      type: "text", class: "moc-go-field", placeholder: "Go to offset", "aria-label": "Go to offset: a number, 0x and hex digits, or end",
      title: "A number, 0x and hex digits, or end", spellcheck: "false", autocomplete: "off",
      onkeydown: (event) => event.key === "Enter" && this.jump(),
    });
    this.place = make("span", { class: "moc-place-now" });
    this.bytes = make("div", { class: "moc-bytes-view" },
      make("div", { class: "moc-tools" }, make("div", { class: "moc-tools-group" }, this.goTo), this.search.element),
      this.scroller.element, make("div", { class: "moc-foot" }, this.place, this.search.report));
    this.panel = make("div", { class: "moc-panel", role: "tabpanel", id });
    this.root = keepShortcuts(make("section", { class: "moc-inspector", onkeydown: (event) => this.key(event) },
      make("header", { class: "moc-head" }, make("div", { class: "moc-heading" }, this.title, this.facts), this.reload),
      this.details, this.trouble, this.tabs, this.panel));
  }

  // Show a version of the buffer from its beginning, or from where the one before was looked at.
  open(about, first) {
    this.about = about;
    this.hear();
    this.trouble.hidden = true;
    this.pages.open(BigInt(about.size), first);
    this.search.reset();
    this.describe();
    this.array.open(about);
    this.image.open(about);
    this.buildTabs();
    const view = about.views.includes(this.view) ? this.view : about.view;
    this.show(view);
    this.scroller.seek(this.scroller.top);
  }

  describe() {
    const { about } = this;
    const size = BigInt(about.size);
    this.title.textContent = about.name;
    this.title.title = about.name;
    this.root.setAttribute("aria-label", `Buffer ${about.name}`);
    const kind = about.array ? `${about.array.dtype} (${about.array.shape.map(grouped).join(", ")})`
      : about.members.length ? `group of ${grouped(about.members.length)} array${about.members.length === 1 ? "" : "s"}` : about.content_type;
    const time = timeText(about.created_at);
    const origin = Object.fromEntries(about.origin);
    const maker = origin.function ? `made by ${origin.function}` : origin.run_id ? "made by a run" : "";
    this.facts.textContent = [sizeText(size), kind, time, maker].filter(Boolean).join(" · ");
    const rows = [["Size", bytesText(size)], ["Content type", about.content_type], ...(time ? [["Stored", time]] : [])];
    if (about.array) {
      rows.push(["Chunks", `(${about.array.chunks.map(grouped).join(", ")})`]);
      rows.push(...about.array.attributes.map(([name, value]) => [`Attribute ${name}`, value]));
    }
    rows.push(...about.origin.map(([name, value]) => [`Origin: ${name.replace("_", " ")}`, value]));
    rows.push(...about.headers.map(([name, value]) => [`Header ${name}`, value]));
    this.detailList.replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  // -- views ----------------------------------------------------------------------------------------------------------

  buildTabs() {
    const views = Object.keys(VIEW_TITLES).filter((view) => this.about.views.includes(view));
    this.tabButtons = views.map((view) => make("button", {
      type: "button", role: "tab", class: "moc-tab", id: `${this.panelId}-${view}`, "aria-controls": this.panelId,
      "data-view": view, onclick: () => this.show(view),
    }, VIEW_TITLES[view]));
    const hadFocus = this.tabs.contains(document.activeElement);
    this.tabs.replaceChildren(...this.tabButtons);
    this.refocus = hadFocus;
  }

  show(view) {
    this.view = view;
    for (const tab of this.tabButtons) {
      const isChosen = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) {
        this.panel.setAttribute("aria-labelledby", tab.id);
        if (this.refocus) {
          tab.focus();
        }
      }
    }
    this.refocus = false;
    const layout = this.layouts[view];
    const shown = layout ? this.bytes : this[view].element;
    if (this.panel.firstChild !== shown) {
      this.panel.replaceChildren(shown);
    }
    this.array.setShown(view === "array");
    this.image.setShown(view === "image");
    if (layout) {
      this.scroller.use(layout);
    }
  }

  tabKey(event) {
    const at = this.tabButtons.findIndex((tab) => tab.dataset.view === this.view);
    const count = this.tabButtons.length;
    const to = { ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.show(this.tabButtons[to].dataset.view);
      this.tabButtons[to].focus();
    }
  }

  key(event) {
    const isTyping = event.target.matches("input, select, textarea");
    const isFind = (event.key === "/" && !isTyping) || (event.key.toLowerCase() === "f" && (event.ctrlKey || event.metaKey));
    if (isFind && this.layouts[this.view]) {
      event.preventDefault();
      event.stopPropagation();
      this.search.field.focus();
      this.search.field.select();
    }
  }

  // -- places ---------------------------------------------------------------------------------------------------------

  jump() {
    const offset = this.pages.size ? parseOffset(this.goTo.value, this.pages.size) : null;
    this.goTo.setAttribute("aria-invalid", String(offset === null));
    if (offset !== null) {
      this.target = { start: offset, stop: offset + 1n };
      this.scroller.seek(offset, true);
    }
  }

  tellPlace(top) {
    const { size } = this.pages;
    this.place.textContent = size
      ? `Offset ${grouped(top)} (0x${top.toString(16)}) of ${bytesText(size)}`
      : "No bytes are in here.";
  }

  showMatch(match) {
    this.target = match;
    if (match) {
      this.scroller.seek(match.start, true);
    } else {
      this.scroller.schedule();
    }
  }

  // Which bytes of the row [start, stop) are marked.
  markedPart(start, stop) {
    const { target } = this;
    if (!target || target.start >= stop || target.stop <= start) {
      return null;
    }
    return [Number(bigMax(target.start - start, 0n)), Number(bigMin(target.stop, stop) - start)];
  }

  // -- what comes -----------------------------------------------------------------------------------------------------

  take(message, views) {
    this.hear();
    if (message.type === "about") {
      this.open(message.about, bytesOf(views[0]));
    } else if (message.type === "page") {
      this.pages.put(BigInt(message.start), bytesOf(views[0]));
    } else if (message.type === "trouble") {
      this.fail(message);
    } else if (message.type === "searching" || message.type === "found") {
      this.search.take(message);
    } else if (message.type === "image") {
      this.image.take(message, views);
    } else {
      this.array.take(message, views);
    }
  }

  fail(message) {
    this.tell(message.message, message.kind !== "refused");
    this.pages.isPaused = message.kind !== "refused";
    this.search.take({ ...message, type: "failed", job: this.search.job });
    this.array.fail(message.job);
    if (this.view === "image" && message.job === null) {
      this.image.fail("");
    }
  }

  tell(text, canReload) {
    this.trouble.hidden = false;
    this.troubleText.textContent = text;
    this.troubleReload.hidden = !canReload;
  }

  askAgain() {
    this.troubleText.textContent = "Looking again…";
    this.channel.send({ type: "open" });
  }

  // Say so when nothing comes for long: a kernel that has been restarted does not know what is asked.
  expect() {
    if (!this.silence) {
      this.silence = setTimeout(() => {
        this.silence = 0;
        this.tell("No answer yet: the kernel is busy, or it was restarted; then run the cell again.", true);
      }, SILENCE_MS);
    }
  }

  hear() {
    clearTimeout(this.silence);
    this.silence = 0;
  }
}

// What comes beside a message is a view of a longer run of bytes.
function bytesOf(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array(0);
}

// What there is on a platform: four tables behind tabs, and below them what was chosen.

const KINDS = { buffers: "Buffers", functions: "Functions", keys: "Keys", calls: "Calls" };
const EMPTY = {
  buffers: "No buffer is stored.",
  functions: "No function is registered.",
  keys: "No key is stored.",
  calls: "No call is known.",
};

function durationText(microseconds) {
  if (microseconds < 1000) {
    return `${microseconds} µs`;
  }
  return microseconds < 1e6 ? `${(microseconds / 1000).toFixed(1)} ms` : `${(microseconds / 1e6).toFixed(1)} s`;
}

// A cell as it is read, and as it is sorted.
function cellText(cell) {
  if (typeof cell === "string") {
    return cell;
  }
  return cell.size !== undefined ? sizeText(BigInt(cell.size)) : cell.time !== undefined ? timeText(cell.time) : durationText(cell.duration);
}

function cellOrder(cell) {
  return typeof cell === "string" ? cell : Number(cell.size ?? cell.time ?? cell.duration);
}

function isNumeric(cell) {
  return typeof cell !== "string" && cell.time === undefined;
}

class Browse {
  constructor(model) {
    this.model = model;
    this.kind = "buffers";
    this.sorting = {};
    this.build();
    const changed = () => this.tell();
    model.on("change:listing", changed);
    const unlisten = listenTo(model, (message, views) => this.take(message, views));
    this.stops = [() => model.off("change:listing", changed), unlisten];
    this.tell();
  }

  dispose() {
    this.stops.forEach((stop) => stop());
    this.close();
    this.root.remove();
  }

  rest() {
    this.inspector?.pages.clear();
  }

  build() {
    const id = freshId("browse");
    this.title = make("span", { class: "moc-name" }, "My Own Cluster");
    this.facts = make("span", { class: "moc-facts" });
    this.refresh = button("Refresh", () => this.list());
    this.trouble = make("div", { class: "moc-trouble", role: "alert", hidden: true });
    this.tabs = Object.entries(KINDS).map(([kind]) => make("button", {
      type: "button", role: "tab", class: "moc-tab", id: `${id}-${kind}`, "aria-controls": id, "data-kind": kind,
      onclick: () => this.show(kind),
    }));
    this.filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter", spellcheck: "false", autocomplete: "off", oninput: () => this.fill() });
    this.count = make("span", { class: "moc-status", role: "status", "aria-live": "polite" });
    this.head = make("tr", {});
    this.body = make("tbody", {});
    this.panel = make("div", { class: "moc-table-frame", role: "tabpanel", id, tabindex: "0" },
      make("table", {}, make("thead", {}, this.head), this.body));
    this.chosen = make("div", { class: "moc-chosen", "aria-live": "polite" });
    this.root = keepShortcuts(make("section", { class: "moc-browse moc-inspector", "aria-label": "What is on the platform" },
      make("header", { class: "moc-head" }, make("div", { class: "moc-heading" }, this.title, this.facts), this.refresh),
      this.trouble,
      make("div", { class: "moc-tabs", role: "tablist", "aria-label": "Kinds", onkeydown: (event) => this.tabKey(event) }, ...this.tabs),
      make("div", { class: "moc-tools" }, this.filter, this.count), this.panel, this.chosen));
  }

  list() {
    this.trouble.hidden = true;
    this.model.send({ type: "list" });
  }

  tell() {
    this.listing = this.model.get("listing");
    this.facts.textContent = this.model.get("origin");
    for (const tab of this.tabs) {
      const { rows, left } = this.listing[tab.dataset.kind];
      tab.textContent = `${KINDS[tab.dataset.kind]} (${grouped(rows.length + left)}${left && tab.dataset.kind === "keys" ? "+" : ""})`;
    }
    this.show(this.kind);
  }

  show(kind) {
    this.kind = kind;
    for (const tab of this.tabs) {
      const isChosen = tab.dataset.kind === kind;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) {
        this.panel.setAttribute("aria-labelledby", tab.id);
      }
    }
    this.fill();
  }

  tabKey(event) {
    const at = this.tabs.findIndex((tab) => tab.dataset.kind === this.kind);
    const count = this.tabs.length;
    const to = { ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.show(this.tabs[to].dataset.kind);
      this.tabs[to].focus();
    }
  }

  fill() {
    const { columns, rows, left } = this.listing[this.kind];
    const sorting = this.sorting[this.kind];
    const focused = document.activeElement?.dataset?.column;
    this.head.replaceChildren(...columns.map((title, column) => {
      const way = sorting?.column === column ? (sorting.isDown ? "descending" : "ascending") : null;
      const mark = way ? (sorting.isDown ? " ↓" : " ↑") : "";
      const isNumber = rows.some(({ cells }) => isNumeric(cells[column]));
      return make("th", { scope: "col", "aria-sort": way, class: isNumber ? "moc-number" : null },
        make("button", { type: "button", class: "moc-sort", "data-column": column, onclick: () => this.sort(column) }, title + mark));
    }));
    if (focused !== undefined && focused !== null) {
      this.head.querySelector(`[data-column="${Number(focused)}"]`)?.focus();
    }
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter(({ cells }) => {
      const text = cells.map(cellText).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (sorting) {
      const sign = sorting.isDown ? -1 : 1;
      shown.sort((one, other) => {
        const [a, b] = [one, other].map(({ cells }) => cellOrder(cells[sorting.column]));
        return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
      });
    }
    this.body.replaceChildren(...shown.map((row) => this.row(row)));
    if (!shown.length) {
      this.body.append(make("tr", {}, make("td", { colspan: columns.length, class: "moc-none" }, rows.length ? "Nothing fits the filter." : EMPTY[this.kind])));
    }
    const more = left ? `; ${grouped(left)} more are not listed` : "";
    this.count.textContent = words.length || left ? `${grouped(shown.length)} of ${grouped(rows.length)}${more}` : "";
  }

  row({ id, cells }) {
    const isChosen = this.choice?.kind === this.kind && this.choice.id === id;
    const parts = cells.map((cell, column) => {
      const content = column ? cellText(cell)
        : make("button", { type: "button", class: "moc-open", "aria-pressed": String(isChosen), title: cellText(cell) }, cellText(cell));
      return make("td", { class: isNumeric(cell) ? "moc-number" : null }, content);
    });
    return make("tr", { class: isChosen ? "moc-chosen-row" : null, onclick: () => this.choose(id) }, ...parts);
  }

  sort(column) {
    const now = this.sorting[this.kind];
    this.sorting[this.kind] = { column, isDown: now?.column === column ? !now.isDown : false };
    this.fill();
  }

  choose(id) {
    this.choice = { kind: this.kind, id };
    this.trouble.hidden = true;
    for (const [index, row] of [...this.body.rows].entries()) {
      row.classList.remove("moc-chosen-row");
      row.querySelector(".moc-open")?.setAttribute("aria-pressed", "false");
      if (row.contains(document.activeElement) || row.matches(":hover")) {
        row.classList.add("moc-chosen-row");
        row.querySelector(".moc-open")?.setAttribute("aria-pressed", "true");
      }
    }
    this.model.send({ type: "choose", ...this.choice });
  }

  close() {
    this.inspector?.dispose();
    this.inspector = null;
    this.chosen.replaceChildren();
  }

  isChoice(message) {
    return message.kind === this.choice?.kind && message.id === this.choice?.id;
  }

  take(message, views) {
    if (message.type === "trouble") {
      this.trouble.hidden = false;
      this.trouble.textContent = message.message;
    } else if (message.type === "inspected") {
      this.heard?.(message.message, views);
    } else if (message.type === "opened" && this.isChoice(message)) {
      this.close();
      this.inspector = new Inspector({
        about: message.about,
        first: bytesOf(views[0]),
        send: (asked) => this.model.send({ type: "inspect", message: asked }),
        listen: (heard) => {
          this.heard = heard;
          return () => { this.heard = null; };
        },
      });
      this.chosen.append(this.inspector.root);
    } else if (message.type === "described" && this.isChoice(message)) {
      this.close();
      this.describe(message);
    }
  }

  describe({ kind, id, facts, is_running }) {
    const list = make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, cellText(value)))));
    const cancel = is_running ? button("Cancel", () => {
      cancel.disabled = true;
      this.model.send({ type: "cancel", kind, id });
    }) : null;
    const title = make("div", { class: "moc-tools" }, make("b", {}, kind === "calls" ? "Call" : "Function"), cancel);
    this.chosen.append(make("div", { class: "moc-described moc-details" }, title, list));
  }
}

export default () => {
  let places;
  return {
    initialize({ model }) {
      places = new Places(model, () => new Browse(model));
      return places.watch();
    },
    render({ el }) {
      places.render(el);
    },
  };
};

// Finding text or bytes: the field, its buttons, and what is said about it.

const TEXT_KIND = "text";

class SearchBar {
  // `from` gives where to begin; `onmatch` gets the offset and the length of what was found, or null.
  constructor(channel, from, onmatch) {
    this.channel = channel;
    this.from = from;
    this.onmatch = onmatch;
    this.match = null;
    this.job = 0;
    this.kind = choice([[TEXT_KIND, "text"], ["hex", "hex bytes"]], TEXT_KIND, () => this.reset());
    this.kind.setAttribute("aria-label", "What to search for: text or bytes");
    this.field = make("input", {
      type: "text",
      class: "moc-search-field",
      spellcheck: "false",
      autocomplete: "off",
      maxlength: "4096",
      placeholder: "Search",
      "aria-label": "Search",
      onkeydown: (event) => this.key(event),
      oninput: () => this.reset(),
    });
    this.back = button("↑", () => this.find(false), { "aria-label": "Find the one before", title: "Find the one before (Shift+Enter)" });
    this.forth = button("↓", () => this.find(true), { "aria-label": "Find the next one", title: "Find the next one (Enter)" });
    this.cancel = button("Cancel", () => this.end("cancelled"), { hidden: true });
    this.progress = make("progress", { max: "1", "aria-label": "Searching", hidden: true });
    this.status = make("span", { class: "moc-status", role: "status", "aria-live": "polite" });
    this.element = make("div", { class: "moc-tools-group", role: "search" },
      this.field, this.kind, this.back, this.forth);
    // Below, where there is room for it: what comes and goes must not move the rows.
    this.report = make("div", { class: "moc-tools-group" }, this.status, this.progress, this.cancel);
  }

  key(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      this.find(!event.shiftKey);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      this.field.value = "";
      this.reset();
    }
  }

  // The bytes that are searched for, in hex; null, with a word about it, when there are none.
  pattern() {
    const text = this.field.value;
    if (this.kind.value === TEXT_KIND) {
      return [...new TextEncoder().encode(text)].map((byte) => HEX[byte]).join("") || null;
    }
    const digits = text.replace(/0x|[\s,:]/gi, "");
    if (digits && (/[^0-9a-f]/i.test(digits) || digits.length % 2)) {
      this.say("Bytes are pairs of hex digits: de ad be ef");
      return null;
    }
    return digits || null;
  }

  find(forward) {
    const pattern = this.pattern();
    if (!pattern) {
      return;
    }
    const match = this.match;
    // From the match on, without finding it again; else from what is seen.
    const start = match ? (forward ? match.start + 1n : match.start) : this.from();
    this.job += 1;
    this.isForward = forward;
    this.setBusy(true);
    this.say("");
    this.channel.send({ type: "search", job: this.job, pattern, start: String(start), forward });
  }

  take(message) {
    if (message.job !== this.job || !this.isBusy) {
      return;
    }
    if (message.type === "searching") {
      this.progress.value = Number(message.done) / Math.max(Number(message.total), 1);
      this.say(`${Math.floor(100 * this.progress.value)} %`);
      return;
    }
    this.setBusy(false);
    if (message.type !== "found") {
      this.say("");
      return;
    }
    if (!message.match) {
      this.show(null);
      this.say("Not found");
      return;
    }
    const start = BigInt(message.match.start);
    this.show({ start, stop: start + BigInt(message.match.length) });
    this.say(`Found at ${grouped(start)} (0x${start.toString(16)})${message.match.wrapped ? `, past the ${this.isForward ? "end" : "beginning"}` : ""}`);
  }

  end(word) {
    if (this.isBusy) {
      this.channel.send({ type: "stop", what: "search" });
      this.setBusy(false);
      this.say(word);
    }
  }

  reset() {
    this.end("");
    this.show(null);
    this.say("");
  }

  show(match) {
    this.match = match;
    this.onmatch(match);
  }

  setBusy(isBusy) {
    const hadFocus = document.activeElement === this.cancel;
    this.isBusy = isBusy;
    this.progress.removeAttribute("value");
    this.progress.hidden = this.cancel.hidden = !isBusy;
    if (hadFocus && !isBusy) {
      this.field.focus();
    }
  }

  say(text) {
    this.status.textContent = text;
  }
}

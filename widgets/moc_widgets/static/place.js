// Where a widget is on the page. It begins in an output of its own; in Jupyter's pages the output then becomes a static
// page, which is what is saved, with a mark, and what the widget shows moves to the mark. Outputs are drawn again, shown
// twice or taken away as Jupyter sees fit, so that a mark can appear at any time: a style sheet starts an animation on
// each, and whoever listens for its beginning learns of them all.

const OWN_PAGE = "jupyter-config-data";
const LOOK_MS = 30_000;

class Places {
  // `create` makes what is shown: an object with `root`, `dispose()` and `rest()`, which lets go of what can be had anew.
  constructor(model, create) {
    this.model = model;
    this.create = create;
    this.shown = [];
  }

  // Take every mark of this widget, now and later; gives what ends that.
  watch() {
    const id = `moc-${this.model.get("place")}`;
    const taken = (event) => {
      if (event.animationName === "moc-place-appears" && event.target.id === id) {
        this.take(event.target);
      }
    };
    document.addEventListener("animationstart", taken, true);
    const timer = setInterval(() => this.shown.filter((each) => !each.root.isConnected).forEach((each) => each.rest()), LOOK_MS);
    if (this.model.get("place")) {
      // Not only when it is seen: Jupyter draws what is far down the page late, and saves it all the same.
      if (document.getElementById(OWN_PAGE)) {
        this.model.send({ type: "place" });
      }
      document.querySelectorAll(`[id="${id}"]`).forEach((mark) => this.take(mark));
    }
    return () => {
      document.removeEventListener("animationstart", taken, true);
      clearInterval(timer);
      this.shown.forEach((each) => each.dispose());
      document.querySelectorAll(`[id="${id}"]`).forEach((mark) => mark.classList.remove("moc-place-live"));
    };
  }

  // One that is nowhere on the page goes on in the new place.
  get() {
    let found = this.shown.find((each) => !each.root.isConnected);
    if (!found) {
      found = this.create();
      this.shown.push(found);
    }
    return found;
  }

  take(mark) {
    if (!this.shown.some((each) => each.root.parentElement === mark)) {
      mark.append(this.get().root);
      mark.classList.add("moc-place-live");
    }
  }

  render(el) {
    el.append(this.get().root);
  }
}

// A widget's messages, as what is shown wants them.
function listenTo(model, heard) {
  const listener = (message, views) => heard(message, views);
  model.on("msg:custom", listener);
  return () => model.off("msg:custom", listener);
}

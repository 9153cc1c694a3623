// A started call: its function, its state and, while it runs, a button that cancels it.

function render({ model, el }) {
  const line = document.createElement("div");
  line.className = "moc-call";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  const name = document.createElement("code");
  const state = document.createElement("b");
  status.append("call of ", name, ": ", state);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "moc-call-cancel";
  line.append(status, button);
  el.append(line);

  const update = () => {
    const running = model.get("state") === "running";
    const cancellable = model.get("cancellable");
    name.textContent = model.get("function");
    state.textContent = model.get("state");
    button.textContent = cancellable ? "Cancel" : "Cancelling…";
    button.setAttribute("aria-label", `${button.textContent} call of ${model.get("function")}`);
    // Not `disabled`, which would take the focus from under the one who pressed it.
    button.setAttribute("aria-disabled", String(!cancellable));
    if (!running && button === document.activeElement) {
      el.closest("[tabindex]")?.focus({ preventScroll: true });
    }
    button.hidden = !running;
  };
  const cancel = () => {
    if (model.get("cancellable")) {
      model.send({ type: "cancel" });
    }
  };

  update();
  button.addEventListener("click", cancel);
  model.on("change:state", update);
  model.on("change:cancellable", update);
  return () => {
    model.off("change:state", update);
    model.off("change:cancellable", update);
    model.send({ type: "gone" });
  };
}

export default { render };

// Making elements. What comes from names and bytes goes in as text only: nothing here takes HTML.

const SVG_SPACE = "http://www.w3.org/2000/svg";
let lastId = 0;

function freshId(word) {
  lastId += 1;
  return `moc-${word}-${lastId}-${Math.random().toString(36).slice(2, 8)}`;
}

// Attributes beginning with "on" are listeners; null and false leave an attribute out.
function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:") ? document.createElementNS(SVG_SPACE, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "value") {
      element.value = value;
    } else if (value !== null && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((each) => each !== null));
  return element;
}

function labelled(text, control, extra = {}) {
  return make("label", { class: "moc-field", ...extra }, make("span", {}, text), control);
}

function choice(options, value, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const [each, text] of options) {
    select.append(make("option", { value: each, selected: String(each) === String(value) }, text));
  }
  select.value = String(value);
  return select;
}

function button(text, onclick, attributes = {}) {
  return make("button", { type: "button", class: "moc-button", onclick, ...attributes }, text);
}

// Keep Jupyter's shortcuts, which would take arrows and letters for its cells, away from what is worked in with the
// keyboard; the one that saves is handed on.
function keepShortcuts(root) {
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      root.parentElement?.dispatchEvent(new KeyboardEvent("keydown", event));
    }
  });
  return root;
}

// Keeps a later part of the page from being redrawn more than once a frame.
function oncePerFrame(work) {
  let frame = 0;
  return () => {
    if (!frame) {
      frame = requestAnimationFrame(() => {
        frame = 0;
        work();
      });
    }
  };
}

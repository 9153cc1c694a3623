// Colours by value, and the bar that explains them.

const PALETTE = Uint8Array.from(PALETTE_HEX.match(/../g), (pair) => parseInt(pair, 16));

// The lowest and the highest finite number; null when there is none.
function rangeOf(elements) {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < elements.length; index += 1) {
    const value = elements.number(index);
    if (value < low && value !== -Infinity) {
      low = value;
    }
    if (value > high && value !== Infinity) {
      high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

// Paint one pixel an element; what is no number stays transparent, and infinities take the colours of the ends.
function paint(canvas, width, height, elements, range) {
  canvas.width = Math.max(width, 1);
  canvas.height = Math.max(height, 1);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const [low, high] = range || [0, 0];
  // Halved, since a range from -1e308 to 1e308 is itself no number.
  const half = high / 2 - low / 2;
  for (let index = 0; index < elements.length; index += 1) {
    const value = elements.number(index);
    if (!Number.isNaN(value)) {
      const share = half > 0 ? (value / 2 - low / 2) / half : 0.5;
      const colour = 3 * Math.round(255 * Math.min(Math.max(share, 0), 1));
      image.data.set([PALETTE[colour], PALETTE[colour + 1], PALETTE[colour + 2], 255], 4 * index);
    }
  }
  context.putImageData(image, 0, 0);
}

function colourBar() {
  const canvas = make("canvas", { class: "moc-colours", width: "256", height: "1", "aria-hidden": "true" });
  const ramp = { length: 256, number: (index) => index };
  paint(canvas, 256, 1, ramp, [0, 255]);
  const low = make("span", { class: "moc-low" });
  const high = make("span", { class: "moc-high" });
  const element = make("div", { class: "moc-legend" }, low, canvas, high);
  return {
    element,
    show(range) {
      element.hidden = !range;
      if (range) {
        low.textContent = shortNumber(range[0]);
        high.textContent = shortNumber(range[1]);
      }
    },
  };
}

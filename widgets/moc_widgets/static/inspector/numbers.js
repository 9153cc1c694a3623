// Numbers: offsets are BigInt, since a JavaScript number is exact only up to 2**53; elements by their dtype.

function bigMin(one, other) {
  return one < other ? one : other;
}

function bigMax(one, other) {
  return one > other ? one : other;
}

// Reads "1024", "1_024", "0x400" or "end" as an offset below size; null if it is none.
function parseOffset(text, size) {
  const word = text.trim().toLowerCase().replace(/[_,\s]/g, "");
  if (word === "end") {
    return bigMax(size - 1n, 0n);
  }
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,19})$/.test(word)) {
    return null;
  }
  return bigMax(bigMin(BigInt(word), size - 1n), 0n);
}

function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function sizeText(size) {
  if (size < 1024n) {
    return `${size} byte${size === 1n ? "" : "s"}`;
  }
  let value = Number(size);
  for (const unit of ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]) {
    value /= 1024;
    if (value < 1024 || unit === "EiB") {
      return `${value.toFixed(1)} ${unit}`;
    }
  }
  return "";
}

function bytesText(size) {
  return `${grouped(size)} byte${size === 1n ? "" : "s"}`;
}

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) {
    return fraction ? NaN : sign * Infinity;
  }
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function float32Text(value) {
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) {
      return String(short);
    }
  }
  return String(Number(value.toPrecision(9)));
}

const READERS = {
  bool: [1, (view, at) => view.getUint8(at)],
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  int16: [2, (view, at) => view.getInt16(at, true)],
  uint16: [2, (view, at) => view.getUint16(at, true)],
  int32: [4, (view, at) => view.getInt32(at, true)],
  uint32: [4, (view, at) => view.getUint32(at, true)],
  int64: [8, (view, at) => view.getBigInt64(at, true)],
  uint64: [8, (view, at) => view.getBigUint64(at, true)],
  float16: [2, (view, at) => float16(view.getUint16(at, true))],
  float32: [4, (view, at) => view.getFloat32(at, true)],
  float64: [8, (view, at) => view.getFloat64(at, true)],
};

// The little-endian elements of a DataView: `number(i)` for drawing, `text(i)` for reading.
function elementsIn(dtype, view) {
  const half = { complex64: "float32", complex128: "float64" }[dtype];
  if (half) {
    const parts = elementsIn(half, view);
    return {
      length: parts.length >> 1,
      number: (i) => Math.hypot(parts.number(2 * i), parts.number(2 * i + 1)),
      text: (i) => {
        const imaginary = parts.text(2 * i + 1);
        return `${parts.text(2 * i)}${/^[-]/.test(imaginary) ? "" : "+"}${imaginary}j`;
      },
    };
  }
  const [itemsize, read] = READERS[dtype];
  const texts = { bool: (value) => (value ? "true" : "false"), float32: float32Text };
  const text = texts[dtype] || String;
  return {
    length: Math.floor(view.byteLength / itemsize),
    number: (i) => Number(read(view, i * itemsize)),
    text: (i) => text(read(view, i * itemsize)),
  };
}

// A moment in the reader's own way; empty for one that is not known.
function timeText(seconds) {
  const made = new Date(seconds * 1000);
  const isKnown = seconds && !Number.isNaN(made.getTime());
  return isKnown ? made.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "";
}

// What a figure that came as text looks like on the page.
function figureText(text) {
  if (text === null || text === undefined) {
    return "–";
  }
  if (/^-?\d+$/.test(text)) {
    return text.startsWith("-") ? `−${grouped(text.slice(1))}` : grouped(text);
  }
  return shortNumber(Number(text));
}

function shortNumber(value) {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  }
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

// The data of the page, numbers as texts, and elements.

const content = JSON.parse(document.getElementById("data").textContent);
const svgSpace = document.querySelector("svg").namespaceURI;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, parent = null) {
  const made = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
}

// As Python's format ".5g" writes it.
function shortNumber(value, digits = 5) {
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= digits) {
    const sign = exponent < 0 ? "-" : "+";
    return `${trimmed(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  return trimmed(value.toFixed(Math.max(0, digits - 1 - exponent)));
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function grouped(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}

class Column {
  constructor(spec, rows) {
    this.name = spec.name;
    this.numeric = spec.kind === "number";
    this.whole = Boolean(spec.whole);
    this.words = spec.words || null;
    this.cells = "same" in spec ? new Array(rows).fill(spec.same) : spec.values;
    this.plus = new Set(spec.plus);
    this.minus = new Set(spec.minus);
    this.ranks = null;
    this.kind = this.numeric ? "number" : this.words.some((word) => word.length > 40) ? "prose" : null;
  }

  value(row) {
    const cell = this.cells[row];
    if (cell === null) return this.plus.has(row) ? Infinity : this.minus.has(row) ? -Infinity : null;
    return this.numeric ? cell : this.words[cell];
  }

  text(row) {
    const value = this.value(row);
    if (value === null) return "";
    if (!this.numeric) return value;
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
    return this.whole && Number.isSafeInteger(value) ? String(value) : shortNumber(value);
  }

  // What rows are sorted by: numbers as they are, words by their place in the alphabet; null comes last.
  key(row) {
    if (this.numeric) return this.value(row);
    if (this.ranks === null) {
      const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
      const places = this.words.map((_, place) => place);
      places.sort((a, b) => collator.compare(this.words[a], this.words[b]));
      this.ranks = new Array(places.length);
      places.forEach((place, rank) => { this.ranks[place] = rank; });
    }
    return this.cells[row] === null ? null : this.ranks[this.cells[row]];
  }

  // The most characters of a cell, to fix the width of the column before its rows are known.
  longest() {
    const longest = (texts) => texts.reduce((most, text) => Math.max(most, text.length), 0);
    if (!this.numeric) return longest(this.words);
    if (!this.whole) return 11;
    return this.cells.reduce((most, cell) => Math.max(most, cell === null ? 1 : String(cell).length), 0);
  }
}

class Table {
  constructor(spec) {
    this.name = spec.name;
    this.rows = spec.rows;
    this.columns = spec.columns.map((column) => new Column(column, spec.rows));
  }

  column(name) {
    return this.columns.find((column) => column.name === name) || null;
  }
}

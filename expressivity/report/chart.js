// What is drawn: scales, points, levels.

const MARKS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z`,
  (x, y, r) => `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x} ${y + 1.2 * r}l${1.2 * r} ${-2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`,
  (x, y, r) => `M${x - r} ${y}h${2 * r}m${-r} ${-r}v${2 * r}`,
];
const SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function mark(series, x, y, r) {
  const round = (v) => Math.round(v * 10) / 10;
  return MARKS[series % MARKS.length](round(x), round(y), r);
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1), low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-12) + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

// Ticks of an axis of logarithms: decades, then 1-2-5, then as on a linear axis.
function logTicks(low, high, count) {
  const decades = high - low;
  if (decades < 0.8) return niceTicks(10 ** low, 10 ** high, count).filter((value) => value > 0);
  const every = Math.max(1, Math.ceil(decades / count));
  const factors = decades < 2.5 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    if (power % every === 0) ticks.push(...factors.map((factor) => factor * 10 ** power));
  }
  return ticks.filter((value) => Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9);
}

function tickText(value) {
  const power = Math.log10(Math.abs(value));
  if (value > 0 && Math.abs(power) > 3.5 && Math.abs(power - Math.round(power)) < 1e-9) {
    return "10" + [...String(Math.round(power))].map((c) => (c === "-" ? "⁻" : SUPER[c])).join("");
  }
  return shortNumber(value, 3);
}

class Chart {
  constructor(spec) {
    this.spec = spec;
    this.table = tables[spec.table];
    this.columns = Object.fromEntries(Object.entries(spec.columns).map(([key, name]) => [key, this.table.column(name)]));
    this.depths = spec.depths;
    this.view = null;
  }

  cell(row, name) {
    const column = this.columns[name];
    return column ? column.value(row) : null;
  }

  // All rows of one task and norm, by width and depth; bounds of the same.
  choose(state) {
    const cells = new Map();
    this.left = 0;
    this.rules = new Map();
    const widths = new Set();
    for (let row = 0; row < this.table.rows; row++) {
      if (this.cell(row, "norm") !== state.norm) continue;
      if (this.columns.task && this.cell(row, "task") !== state.task) continue;
      const width = this.cell(row, "width"), error = this.cell(row, "error");
      if (state.family !== "" && this.cell(row, "family") !== state.family) continue;
      if (this.columns.origin && !state.origins.has(this.cell(row, "origin"))) continue;
      if (width === null) continue;
      widths.add(width);
      this.rules.set(width, this.cell(row, "rule") || this.rules.get(width) || "");
      if (error === null || !Number.isFinite(error)) { this.left++; continue; }
      const series = Math.max(0, this.depths.indexOf(this.cell(row, "depth")));
      const key = `${width}/${series}`;
      if (!cells.has(key)) cells.set(key, { width, series, rows: [] });
      cells.get(key).rows.push({ row, error });
    }
    const fits = (level) => (level.task === null || level.task === state.task)
      && (level.norm === null || level.norm === state.norm);
    this.floors = this.spec.floors.filter(fits).filter((level) => widths.has(level.width));
    this.ceilings = this.spec.ceilings.filter(fits);
    this.constant = this.spec.constants.find((level) => fits(level)) || null;
    this.ceilings.forEach((level) => widths.add(level.width));
    this.floors = this.highest(this.floors);
    this.cells = [...cells.values()];
    for (const cell of this.cells) {
      cell.rows.sort((a, b) => a.error - b.error);
      const errors = cell.rows.map((item) => item.error);
      [cell.low, cell.median, cell.high] = [0.25, 0.5, 0.75].map((share) => quantile(errors, share));
    }
    this.widths = [...widths].sort((a, b) => a - b);
  }

  highest(levels) {
    const best = new Map();
    for (const level of levels) {
      const key = `${level.width}/${level.layers}`;
      if (!best.has(key) || best.get(key).value < level.value) best.set(key, level);
    }
    return [...best.values()];
  }

  place(kind) {
    const at = kind === "log" ? Math.log2 : (width) => width;
    this.at = new Map(this.widths.map((width, index) => [width, kind === "even" ? index : at(width)]));
    const places = this.widths.map((width) => this.at.get(width));
    this.half = new Map(this.widths.map((width, i) => {
      const gaps = [places[i] - places[i - 1], places[i + 1] - places[i]].filter((gap) => gap > 0);
      return [width, gaps.length ? Math.min(...gaps) / 2 : 0.5];
    }));
  }

  rise(value) {
    return this.log ? Math.log10(value) : value;
  }

  // The view that holds everything of the chosen task and norm.
  whole() {
    const values = this.cells.flatMap((cell) => [cell.rows[0].error, cell.rows[cell.rows.length - 1].error]);
    values.push(...[...this.floors, ...this.ceilings, ...(this.constant ? [this.constant] : [])].map((l) => l.value));
    const usable = this.log ? values.filter((value) => value > 0) : values;
    let low = Math.min(...usable), high = Math.max(...usable);
    if (!usable.length) [low, high] = this.log ? [0.1, 1] : [0, 1];
    [low, high] = [this.log ? Math.log10(low) : Math.min(low, 0), this.rise(high)];
    const air = Math.max((high - low) * 0.07, this.log ? 0.04 : 1e-12 + Math.abs(high) * 1e-3);
    const first = this.widths[0], last = this.widths[this.widths.length - 1];
    if (first === undefined) return [0, 1, low - air, high + air];
    const bottom = this.log ? low - air : Math.min(0, low - (low < 0 ? air : 0));
    return [this.at.get(first) - this.half.get(first), this.at.get(last) + this.half.get(last), bottom, high + air];
  }

  X(u) {
    return ((u - this.view[0]) / (this.view[1] - this.view[0])) * this.wide;
  }

  Y(value) {
    return (1 - (this.rise(value) - this.view[2]) / (this.view[3] - this.view[2])) * this.tall;
  }

  lane(width, series) {
    const lanes = Math.max(1, this.depths.length);
    const slot = 1.6 * this.half.get(width);
    return [this.at.get(width) + slot * ((series + 0.5) / lanes - 0.5), slot / lanes];
  }

  drawable(value) {
    return !this.log || value > 0;
  }

  draw(svg, state, size) {
    const narrow = size.width < 520;
    const edge = { left: narrow ? 50 : 64, right: 10, top: 12, bottom: 56 };
    this.edge = edge;
    this.wide = size.width - edge.left - edge.right;
    this.tall = size.height - edge.top - edge.bottom;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    this.items = [];
    this.drawAxes(svg, state);
    const area = { x: edge.left, y: edge.top, width: this.wide, height: this.tall, class: "area" };
    const plot = drawn("svg", area, svg);
    const upper = drawn("g"), points = drawn("g");
    this.drawFloors(plot, upper, state);
    plot.append(points);
    this.drawCells(points, state);
    plot.append(upper);
    this.drawCeilings(upper, state);
    this.ring = drawn("g", { class: "ring" }, plot);
    this.zeros = this.cells.reduce((sum, cell) => sum + cell.rows.filter((i) => !this.drawable(i.error)).length, 0);
    const corners = { x: edge.left, y: edge.top, width: this.wide, height: this.tall };
    drawn("path", { class: "frame", d: `M${corners.x} ${corners.y}v${corners.height}h${corners.width}` }, svg);
  }

  drawAxes(svg, state) {
    const { left, top } = this.edge, grid = drawn("g", { class: "grid" }, svg), words = drawn("g", { class: "ticks" }, svg);
    const count = Math.max(3, Math.round(this.tall / 60));
    const ticks = this.log ? logTicks(this.view[2], this.view[3], count) : niceTicks(this.view[2], this.view[3], count);
    for (const value of ticks) {
      const y = top + this.Y(value);
      drawn("path", { d: `M${left} ${y.toFixed(1)}h${this.wide}` }, grid);
      drawn("text", { x: left - 7, y: y + 4, class: "end" }, words).textContent = tickText(value);
    }
    let last = -Infinity;
    for (const width of this.widths) {
      const x = left + this.X(this.at.get(width));
      if (x < left - 1 || x > left + this.wide + 1) continue;
      const rules = String(this.rules.get(width) || "").split(" = ");
      const rule = (rules.find((item) => item.includes("n")) || rules[0]).replace("-", "−");
      const two = rule && rule !== String(width);
      if (x - last < Math.max(26, 8 * Math.max(two ? rule.length : 0, String(width).length) + 6)) continue;
      last = x;
      drawn("path", { d: `M${x.toFixed(1)} ${top + this.tall}v4` }, grid);
      drawn("text", { x, y: top + this.tall + 17 }, words).textContent = String(width);
      if (two) drawn("text", { x, y: top + this.tall + 32, class: "rule" }, words).textContent = rule;
    }
    drawn("text", { x: left + this.wide / 2, y: top + this.tall + 49, class: "axis" }, words).textContent = "width";
    const title = drawn("text", { class: "axis", transform: `translate(13 ${top + this.tall / 2}) rotate(-90)` }, words);
    title.textContent = `${state.norm} error`;
  }

  ends(width, series, least) {
    const [from, to] = series === null ? [-1, 1] : [-1, 2 * ((0.1 + 0.8 * series / Math.max(1, this.depths.length))) - 1];
    const half = this.half.get(width), at = this.at.get(width);
    const x0 = this.X(at + from * half * 0.98), x1 = this.X(at + to * half * 0.98);
    const spare = Math.max(0, least - (x1 - x0)) / 2;
    return [x0 - spare, x1 + spare];
  }

  drawFloors(below, above, state) {
    if (!state.floors) return;
    for (const level of this.floors) {
      if (!this.drawable(level.value)) continue;
      const covered = level.layers === null ? null : this.depths.filter((d) => d !== null && d <= level.layers).length;
      if (covered === 0) continue;
      const whole = covered === null || covered === this.depths.length;
      const [x0, x1] = this.ends(level.width, whole ? null : covered, 8), y = this.Y(level.value);
      const shade = { x: x0, y, width: x1 - x0, height: Math.max(0, this.tall - y), class: "forbidden" };
      drawn("rect", shade, below);
      drawn("path", { class: "floor", d: `M${x0.toFixed(1)} ${y.toFixed(1)}H${x1.toFixed(1)}` }, above);
      this.items.push({ kind: "floor", level, x: (x0 + x1) / 2, y, reach: [x0, x1], lane: this.at.get(level.width) });
    }
  }

  drawCeilings(parent, state) {
    if (this.constant && state.constant && this.drawable(this.constant.value)) {
      drawn("path", { class: "constant", d: `M0 ${this.Y(this.constant.value).toFixed(1)}h${this.wide}` }, parent);
    }
    if (!state.ceilings) return;
    for (const level of this.ceilings) {
      if (!this.drawable(level.value)) continue;
      const [x0, x1] = this.ends(level.width, null, 12), y = this.Y(level.value);
      drawn("path", { class: "ceiling", d: `M${x0.toFixed(1)} ${y.toFixed(1)}H${x1.toFixed(1)}` }, parent);
      const letter = this.spec.names.indexOf(level.text);
      if (letter >= 0) {
        drawn("text", { class: "letter", x: x0 + 2, y: y - 3 }, parent).textContent = letterOf(letter);
      }
      this.items.push({ kind: "ceiling", level, x: (x0 + x1) / 2, y, reach: [x0, x1], lane: this.at.get(level.width) });
    }
  }

  drawCells(parent, state) {
    const seen = (x, y) => x > -8 && x < this.wide + 8 && y > -8 && y < this.tall + 8;
    this.depths.forEach((depth, series) => {
      if (!state.depths.has(series)) return;
      let dots = "", best = "", bars = "", boxes = "";
      for (const cell of this.cells) {
        if (cell.series !== series) continue;
        const [u, lane] = this.lane(cell.width, series);
        const x = this.X(u), step = this.X(u + lane) - x;
        const put = (item, kind, px, py) => {
          this.items.push({ ...item, kind, cell, x: px, y: py, lane: u, best: item.row === cell.rows[0].row });
        };
        cell.rows.forEach((item, place) => {
          if (!this.drawable(item.error)) return;
          const py = this.Y(item.error), first = place === 0;
          const px = first ? x : x + step * 0.3 * (2 * ((place * 0.6180339887498949) % 1) - 1);
          if (state.seeds === "median" || (state.seeds === "best" && !first) || !seen(px, py)) return;
          if (first) best += mark(series, px, py, 4.5);
          else dots += mark(series, px, py, 2.4);
          put(item, "seed", px, py);
        });
        if (state.seeds !== "best" && this.drawable(cell.median)) {
          const my = this.Y(cell.median), reach = Math.max(3, step * 0.42);
          bars += `M${(x - reach).toFixed(1)} ${my.toFixed(1)}h${(2 * reach).toFixed(1)}`;
          if (state.seeds === "median") {
            if (this.drawable(cell.low)) boxes += `M${x.toFixed(1)} ${this.Y(cell.low).toFixed(1)}V${this.Y(cell.high).toFixed(1)}`;
            best += mark(series, x, my, 4);
            if (seen(x, my)) put({ error: cell.median, row: null }, "median", x, my);
          }
        }
      }
      const group = drawn("g", { class: `series s${series}` }, parent);
      drawn("path", { class: "dots", d: dots }, group);
      drawn("path", { class: "bars", d: bars + boxes }, group);
      drawn("path", { class: "best", d: best }, group);
    });
  }
}

function letterOf(number) {
  return (number >= 26 ? letterOf(Math.floor(number / 26) - 1) : "") + String.fromCharCode(97 + (number % 26));
}

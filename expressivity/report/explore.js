// The figure under the hands: choices, zoom, the cell under pointer or keys.

class Explorer {
  constructor(host, spec) {
    this.host = host;
    this.chart = new Chart(spec);
    this.spec = spec;
    const origins = spec.origins.includes("random") ? ["random"] : spec.origins;
    this.state = {
      norm: spec.norm, task: spec.tasks[0] ?? null, family: "", seeds: "all", floors: true, ceilings: true,
      constant: true, origins: new Set(origins), depths: new Set(spec.depths.map((_, i) => i)), log: true, scale: "even",
    };
    this.chosen = null;
    this.build();
    this.change(true);
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  build() {
    const { spec, state } = this;
    const set = (name) => (value) => { state[name] = value; this.change(["norm", "task", "family", "log", "scale"].includes(name)); };
    const choices = element("form", { class: "choices", "aria-label": "What the figure shows" });
    choices.addEventListener("submit", (event) => event.preventDefault());
    if (spec.tasks.length > 1) choices.append(this.list("Task", spec.tasks.map((t) => [t, t]), state.task, set("task")));
    choices.append(this.radios("Norm", spec.norms.map((n) => [n, n]), state.norm, set("norm")));
    if (spec.families.length > 1) {
      const families = [["", "all"], ...spec.families.map((f) => [f, f])];
      choices.append(this.list("Family", families, "", set("family")));
    }
    choices.append(this.radios("Seeds", [["all", "all"], ["best", "best"], ["median", "median"]], "all", set("seeds")));
    choices.append(this.checks("Hidden layers", "key", spec.depths.map((d, i) => [i, d ?? "any", this.swatch(i)]), state.depths));
    if (spec.origins.length > 1) {
      choices.append(this.checks("Start", "", spec.origins.map((o) => [o, o, null]), state.origins));
    }
    const shown = new Set(["floors", "ceilings", "constant"]);
    const bounds = [["floors", "floor", this.stroke("floor")], ["ceilings", "ceiling", this.stroke("ceiling")],
      ["constant", "best constant", this.stroke("constant")]];
    const present = bounds.filter(([key]) => (key === "constant" ? spec.constants : spec[key]).length);
    const follow = () => { for (const [key] of bounds) state[key] = shown.has(key); };
    if (present.length) choices.append(this.checks("Bounds", "", present, shown, follow));
    choices.append(this.list("Error axis", [["log", "logarithmic"], ["linear", "linear"]], "log",
      (value) => set("log")(value === "log")));
    choices.append(this.list("Width axis", [["even", "evenly spaced"], ["log", "logarithmic"], ["linear", "linear"]],
      "even", set("scale")));

    const help = "Arrow keys go from network to network, plus and minus zoom, shift and arrows move, 0 shows everything. "
      + "Drag a rectangle to zoom into it; the wheel zooms after a click into the figure; a double click shows everything.";
    this.svg = drawn("svg", { class: "plot", "aria-hidden": "true", focusable: "false" });
    this.card = element("div", { class: "card", "aria-hidden": "true", hidden: true });
    this.stage = element("div", {
      class: "stage", tabindex: "0", role: "application", "aria-roledescription": "interactive figure",
      "aria-label": "Error against width", "aria-describedby": "figure-help",
    }, this.svg, this.card);
    const zoom = element("div", { class: "zoom", role: "group", "aria-label": "Zoom" });
    for (const [sign, words, act] of [["+", "Zoom in", () => this.zoom(0.7)], ["−", "Zoom out", () => this.zoom(1 / 0.7)],
      ["Reset", "Show everything", () => this.change(true)]]) {
      zoom.append(element("button", { type: "button", "aria-label": words, onclick: act }, sign));
    }
    this.live = element("p", { class: "live", role: "status", "aria-live": "polite" });
    this.note = element("p", { class: "note" });
    const names = element("ul", { class: "names" });
    spec.names.forEach((name, i) => names.append(element("li", {}, element("b", {}, letterOf(i)), ` ${name}`)));
    this.host.replaceChildren(choices, this.stage, zoom, this.live, this.note, names,
      element("p", { class: "help", id: "figure-help" }, help));
    this.listen();
  }

  field(name, ...inside) {
    return element("fieldset", {}, element("legend", {}, name), ...inside);
  }

  list(name, options, value, act) {
    const select = element("select", { "aria-label": name, onchange: () => act(select.value) });
    options.forEach(([key, text]) => select.append(element("option", { value: key, selected: key === value }, text)));
    return this.field(name, select);
  }

  radios(name, options, value, act) {
    return this.field(name, ...options.map(([key, text]) => {
      const input = element("input", { type: "radio", name, value: key, checked: key === value });
      input.addEventListener("change", () => act(key));
      return element("label", {}, input, ` ${text}`);
    }));
  }

  checks(name, kind, options, chosen, act = () => {}) {
    return this.field(name, ...options.map(([key, text, picture]) => {
      const input = element("input", { type: "checkbox", checked: chosen.has(key), value: key });
      input.addEventListener("change", () => {
        if (input.checked) chosen.add(key);
        else chosen.delete(key);
        act();
        this.change(name === "Start");
      });
      return element("label", { class: kind }, input, ...(picture ? [picture] : []), ` ${text}`);
    }));
  }

  swatch(series) {
    const svg = drawn("svg", { viewBox: "0 0 14 14", class: `swatch s${series}`, "aria-hidden": "true" });
    drawn("path", { class: "best", d: mark(series, 7, 7, 4.5) }, svg);
    return svg;
  }

  stroke(kind) {
    const svg = drawn("svg", { viewBox: "0 0 26 14", class: "swatch line", "aria-hidden": "true" });
    drawn("path", { class: kind, d: "M1 7H25" }, svg);
    return svg;
  }

  change(whole) {
    const { chart, state } = this;
    chart.log = state.log;
    if (whole || !chart.view) {
      chart.choose(state);
      chart.place(state.scale);
      chart.view = chart.whole();
    }
    this.select(null);
    this.draw();
    const left = chart.left ? [`Without a finite error, not drawn: ${grouped(chart.left)}.`] : [];
    if (chart.zeros) left.push(`Errors of 0, which have no place on a logarithmic axis: ${grouped(chart.zeros)}.`);
    this.note.textContent = left.join(" ");
  }

  draw() {
    const width = Math.max(280, this.stage.clientWidth);
    const size = { width, height: Math.round(Math.max(330, Math.min(0.55 * width, 520))) };
    this.chart.draw(this.svg, this.state, size);
    Object.assign(this.stage.dataset, {
      norm: this.state.norm, shown: this.chart.items.length, view: this.chart.view.map((v) => v.toPrecision(6)).join(" "),
    });
    const items = this.chart.items;
    this.sorted = items.slice().sort((a, b) => a.lane - b.lane || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0) || b.y - a.y);
    if (this.chosen) {
      const old = this.chosen;
      this.chosen = items.find((i) => i.kind === old.kind && i.row === old.row && i.cell === old.cell && i.level === old.level) || null;
      this.show();
    }
  }

  later() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  zoom(factor, x = 0.5, y = 0.5) {
    const view = this.chart.view, [w, h] = [view[1] - view[0], view[3] - view[2]];
    if (w * factor < 1e-6 || h * factor < 1e-9 || w * factor > 1e6 || h * factor > 1e6) return;
    const u = view[0] + x * w, t = view[2] + y * h;
    this.chart.view = [u - x * w * factor, u + (1 - x) * w * factor, t - y * h * factor, t + (1 - y) * h * factor];
    this.later();
  }

  move(x, y) {
    const view = this.chart.view, dx = x * (view[1] - view[0]), dy = y * (view[3] - view[2]);
    this.chart.view = [view[0] + dx, view[1] + dx, view[2] + dy, view[3] + dy];
    this.later();
  }

  words(item) {
    const { chart, state } = this, cell = (name) => chart.cell(item.row, name);
    if (item.level) {
      const most = item.level.layers === null ? "" : ` and at most ${item.level.layers} hidden layers`;
      const kind = item.kind === "floor" ? `Floor: no network of this width${most} is lower` : "Ceiling: a constructed network is this good";
      return [["", kind], ["width", item.level.width], [`${state.norm} error`, shortNumber(item.level.value, 6)], ["from", item.level.text]];
    }
    const layers = chart.depths[item.cell.series];
    if (item.kind === "median") {
      return [["", `Median of ${item.cell.rows.length} seeds`], ["width", item.cell.width], ["rule", chart.rules.get(item.cell.width)],
        ["hidden layers", layers], [`${state.norm} error`, shortNumber(item.error, 6)],
        ["quartiles", `${shortNumber(item.cell.low, 4)} to ${shortNumber(item.cell.high, 4)}`]];
    }
    const half = cell("half"), error = shortNumber(item.error, 6);
    return [["", item.best ? `Best of ${item.cell.rows.length} networks` : "One network"], ["family", cell("family")],
      ["width", item.cell.width], ["rule", cell("rule")], ["hidden layers", layers], ["seed", cell("seed")],
      [`${state.norm} error`, error], ["half-width", half === null ? null : shortNumber(half, 2)], ["status", cell("status")],
      ["start", cell("origin")], ["steps", cell("steps")]];
  }

  select(item, spoken = true) {
    this.chosen = item;
    this.show(spoken);
  }

  show(spoken = true) {
    const { chart, chosen: item, card } = this;
    if (chart.ring) chart.ring.replaceChildren();
    card.hidden = !item;
    if (!item) { this.live.textContent = "No network is marked."; return; }
    const x = Math.max(0, Math.min(chart.wide, item.x));
    if (item.reach) drawn("path", { d: `M${item.reach[0]} ${item.y}H${item.reach[1]}` }, chart.ring);
    else drawn("circle", { cx: item.x, cy: item.y, r: 8 }, chart.ring);
    const half = item.row == null ? null : chart.cell(item.row, "half");
    if (half && chart.drawable(item.error - half)) {
      drawn("path", { d: `M${item.x} ${chart.Y(item.error - half)}V${chart.Y(item.error + half)}` }, chart.ring);
    }
    const facts = this.words(item).filter(([, value]) => value !== null && value !== undefined && value !== "");
    card.replaceChildren(...facts.map(([name, value]) => element(name ? "div" : "strong", {}, name ? `${name} ` : "", element("b", {}, String(value)))));
    const scale = this.svg.clientWidth / (chart.wide + chart.edge.left + chart.edge.right) || 1;
    const right = x < chart.wide / 2;
    card.style.left = right ? `${(chart.edge.left + x + 16) * scale}px` : "auto";
    card.style.right = right ? "auto" : `${(chart.edge.right + chart.wide - x + 16) * scale}px`;
    card.style.top = `${Math.max(4, Math.min(item.y + chart.edge.top - 30, chart.tall - card.offsetHeight + 20)) * scale}px`;
    clearTimeout(this.wait);
    const say = () => { this.live.textContent = facts.map(([name, value]) => (name ? `${name} ${value}` : `${value}:`)).join(", ").replace(":,", ":"); };
    if (spoken) say();
    else this.wait = setTimeout(say, 150);
  }

  spot(event) {
    const box = this.svg.getBoundingClientRect(), scale = box.width / (this.chart.wide + this.chart.edge.left + this.chart.edge.right);
    return [(event.clientX - box.left) / scale - this.chart.edge.left, (event.clientY - box.top) / scale - this.chart.edge.top];
  }

  nearest(x, y, reach) {
    let best = null, least = reach;
    for (const item of this.chart.items) {
      const dx = item.reach ? Math.max(item.reach[0] - x, 0, x - item.reach[1]) : item.x - x;
      const away = Math.hypot(dx, item.y - y) + (item.reach ? 2 : 0);
      if (away < least) [best, least] = [item, away];
    }
    return best;
  }

  step(key) {
    const items = this.sorted, now = this.chosen;
    if (!items.length) return;
    if (!now || key === "Home") { this.select(items[0]); return; }
    if (key === "End") { this.select(items[items.length - 1]); return; }
    const along = key === "ArrowRight" || key === "ArrowUp" ? 1 : -1;
    if (key === "ArrowUp" || key === "ArrowDown") {
      const lane = items.filter((item) => item.lane === now.lane).sort((a, b) => b.y - a.y);
      this.select(lane[Math.max(0, Math.min(lane.length - 1, lane.indexOf(now) + along))]);
      return;
    }
    const lanes = [...new Set(items.map((item) => item.lane))];
    const next = lanes[Math.max(0, Math.min(lanes.length - 1, lanes.indexOf(now.lane) + along))];
    if (next === now.lane) return;
    const there = items.filter((item) => item.lane === next);
    this.select(there.reduce((a, b) => (Math.abs(b.y - now.y) < Math.abs(a.y - now.y) ? b : a)));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (event.key in arrows && event.shiftKey) this.move(...arrows[event.key]);
    else if (event.key in arrows || event.key === "Home" || event.key === "End") this.step(event.key);
    else if (event.key === "+" || event.key === "=") this.zoom(0.7);
    else if (event.key === "-") this.zoom(1 / 0.7);
    else if (event.key === "0") this.change(true);
    else if (event.key === "Escape") this.select(null);
    else return;
    event.preventDefault();
  }

  listen() {
    const { stage } = this, touches = new Map();
    let start = null, box = null;
    const share = (x, y) => [x / this.chart.wide, 1 - y / this.chart.tall];
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("wheel", (event) => {
      if (document.activeElement !== stage && !event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.004), ...share(...this.spot(event)));
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.focus({ preventScroll: true });
      const [x, y] = this.spot(event);
      if (event.pointerType === "touch") {
        touches.set(event.pointerId, [x, y]);
        this.select(this.nearest(x, y, 40));
      } else {
        start = { x, y, view: this.chart.view, shift: event.shiftKey };
        stage.setPointerCapture(event.pointerId);
      }
    });
    stage.addEventListener("pointermove", (event) => {
      const [x, y] = this.spot(event);
      if (touches.has(event.pointerId)) {
        const other = [...touches].find(([id]) => id !== event.pointerId);
        const before = touches.get(event.pointerId);
        touches.set(event.pointerId, [x, y]);
        if (!other) return;
        const far = (p) => Math.hypot(p[0] - other[1][0], p[1] - other[1][1]);
        this.zoom(far(before) / Math.max(8, far([x, y])), ...share((x + other[1][0]) / 2, (y + other[1][1]) / 2));
        return;
      }
      if (!start) { this.select(this.nearest(x, y, 24), false); return; }
      if (start.shift) {
        const { view } = start, dx = ((start.x - x) / this.chart.wide) * (view[1] - view[0]);
        const dy = ((y - start.y) / this.chart.tall) * (view[3] - view[2]);
        this.chart.view = [view[0] + dx, view[1] + dx, view[2] + dy, view[3] + dy];
        this.later();
        return;
      }
      if (Math.hypot(x - start.x, y - start.y) < 5) return;
      box?.remove();
      box = drawn("rect", { class: "drag", ...this.span(start, x, y) }, this.chart.ring.parentNode);
    });
    const end = (event) => {
      touches.delete(event.pointerId);
      if (start && box && event.type === "pointerup") {
        const { x, y, width, height } = this.span(start, ...this.spot(event));
        const [u, v, s, t] = this.chart.view, w = v - u, h = t - s;
        const across = width > 8 ? [u + (x / this.chart.wide) * w, u + ((x + width) / this.chart.wide) * w] : [u, v];
        const up = height > 8 ? [t - ((y + height) / this.chart.tall) * h, t - (y / this.chart.tall) * h] : [s, t];
        this.chart.view = [...across, ...up];
        this.draw();
      }
      box?.remove();
      start = box = null;
    };
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, end);
    stage.addEventListener("pointerleave", () => { if (document.activeElement !== stage) this.select(null); });
    stage.addEventListener("dblclick", () => this.change(true));
  }

  span(start, x, y) {
    const inside = (value, most) => Math.max(0, Math.min(most, value));
    const [ax, bx] = [inside(start.x, this.chart.wide), inside(x, this.chart.wide)].sort((a, b) => a - b);
    const [ay, by] = [inside(start.y, this.chart.tall), inside(y, this.chart.tall)].sort((a, b) => a - b);
    return { x: ax, y: ay, width: bx - ax, height: by - ay };
  }
}

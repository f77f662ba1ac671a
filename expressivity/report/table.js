// Tables that sort and filter; long ones hold only the rows in sight.

const WHOLE = 1000; // up to so many rows are in the page at once
const PRINTED = 1000; // and so many of a longer table go on paper
const AROUND = 12; // rows kept beyond the sight

class TableView {
  constructor(section, table) {
    this.table = table;
    this.section = section;
    this.scroller = section.querySelector(".scroll");
    this.element = section.querySelector("table");
    this.body = this.element.querySelector("tbody");
    this.long = table.rows > WHOLE;
    this.complete = this.body.rows.length === table.rows;
    this.order = null; // null: as given
    this.sorted = { column: null, descending: false };
    this.height = 0;
    this.first = this.last = -1;
    this.paper = false;
    this.buildTools();
    this.buildHead();
    this.element.setAttribute("aria-rowcount", table.rows + 1);
    section.querySelector(".cut")?.remove();
    if (this.long) {
      this.fixWidths();
      this.scroller.addEventListener("scroll", () => this.later());
      this.update();
    } else if (!this.complete) {
      this.whenNear(() => this.update());
    }
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  buildTools() {
    if (this.table.rows < 6) return;
    const place = `filter-${this.section.id}`;
    this.count = element("span", { class: "count", role: "status" }, this.counted());
    const input = element("input", {
      type: "search", id: place, placeholder: "words, or error<0.1", autocomplete: "off", spellcheck: "false",
    });
    let wait = 0;
    input.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.filter(input.value), 120);
    });
    this.input = input;
    const label = element("label", { for: place }, "Filter ");
    this.scroller.before(element("p", { class: "tools" }, label, input, this.count));
  }

  buildHead() {
    this.heads = [...this.element.tHead.rows[0].cells];
    this.heads.forEach((head, number) => {
      const button = element("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => this.sort(number));
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
    });
  }

  fixWidths() {
    this.element.classList.add("long");
    const group = element("colgroup");
    for (const column of this.table.columns) {
      const col = element("col");
      col.style.width = `${Math.min(46, Math.max(column.longest(), column.name.length + 2)) + 2.5}ch`;
      group.append(col);
    }
    this.element.prepend(group);
  }

  whenNear(action) {
    const watch = new IntersectionObserver((seen) => {
      if (seen.some((entry) => entry.isIntersecting)) {
        watch.disconnect();
        action();
      }
    }, { rootMargin: "600px" });
    watch.observe(this.scroller);
  }

  counted() {
    const shown = this.order ? this.order.length : this.table.rows;
    const all = grouped(this.table.rows);
    return shown === this.table.rows ? `${all} rows` : `${grouped(shown)} of ${all} rows`;
  }

  sort(number) {
    const { column, descending } = this.sorted;
    const again = column === number;
    this.sorted = again && descending ? { column: null, descending: false } : { column: number, descending: again };
    this.heads.forEach((head, place) => {
      const here = place === this.sorted.column;
      head.setAttribute("aria-sort", !here ? "none" : this.sorted.descending ? "descending" : "ascending");
    });
    this.arrange();
  }

  filter(text) {
    this.tests = parseFilter(text, this.table.columns);
    this.arrange();
    if (this.count) this.count.textContent = this.counted();
  }

  arrange() {
    const rows = [];
    for (let row = 0; row < this.table.rows; row++) {
      if (!this.tests || this.tests.every((test) => test(row))) rows.push(row);
    }
    if (this.sorted.column !== null) {
      const column = this.table.columns[this.sorted.column];
      const keys = new Map(rows.map((row) => [row, column.key(row)]));
      const sign = this.sorted.descending ? -1 : 1;
      rows.sort((a, b) => {
        const first = keys.get(a), second = keys.get(b);
        if (first === null || second === null) return (first === null) - (second === null);
        return first === second ? 0 : sign * (first < second ? -1 : 1);
      });
    }
    this.order = rows;
    if (this.long) this.scroller.scrollTop = 0;
    this.first = this.last = -1;
    this.update();
  }

  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.update();
    });
  }

  rowAt(place) {
    return this.order ? this.order[place] : place;
  }

  line(place) {
    const row = this.rowAt(place);
    const line = element("tr", { "aria-rowindex": place + 2 });
    this.table.columns.forEach((column) => {
      const text = column.text(row);
      const cell = element("td", { class: column.kind }, text);
      if (this.long && text.length > 44) cell.title = text;
      line.append(cell);
    });
    return line;
  }

  update() {
    const shown = this.order ? this.order.length : this.table.rows;
    if (!this.long || this.paper) {
      const most = this.long ? Math.min(shown, PRINTED) : shown;
      this.body.replaceChildren(...Array.from({ length: most }, (_, place) => this.line(place)));
      this.complete = true;
      return;
    }
    if (!this.height) {
      this.body.replaceChildren(this.line(0));
      this.height = this.body.rows[0].getBoundingClientRect().height || 24;
    }
    const top = Math.floor(this.scroller.scrollTop / this.height);
    const sight = Math.ceil((this.scroller.clientHeight || 600) / this.height);
    const first = Math.max(0, Math.min(top - AROUND, shown - sight - AROUND));
    const last = Math.min(shown, top + sight + AROUND);
    if (first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    const lines = [this.space(first)];
    for (let place = first; place < last; place++) lines.push(this.line(place));
    this.body.replaceChildren(...lines, this.space(shown - last));
  }

  space(rows) {
    const cell = element("td", { colspan: this.table.columns.length });
    cell.style.height = `${rows * this.height}px`;
    return element("tr", { class: "space", "aria-hidden": "true" }, cell);
  }

  print(paper) {
    if (!this.long) {
      if (paper && !this.complete) this.update();
      return;
    }
    this.paper = paper;
    this.element.classList.toggle("long", !paper);
    this.note?.remove();
    const shown = this.order ? this.order.length : this.table.rows;
    if (paper && shown > PRINTED) {
      const text = `The first ${grouped(PRINTED)} of ${grouped(shown)} rows; all are in the files of the run.`;
      this.note = element("p", { class: "note" }, text);
      this.scroller.after(this.note);
    }
    this.first = this.last = -1;
    this.update();
  }
}

// Words that a row has to contain, and comparisons such as width=2 or error<0.1.
function parseFilter(text, columns) {
  const parts = text.match(/"[^"]*"|\S+/g) || [];
  return parts.map((part) => {
    const found = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/.exec(part);
    const column = found && columns.find((item) => item.name.toLowerCase() === found[1].toLowerCase());
    return column ? comparison(column, found[2], found[3]) : mention(part.replaceAll('"', ""), columns);
  });
}

const COMPARE = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
  "=": (a, b) => a === b, "!=": (a, b) => a !== b,
};

function comparison(column, sign, text) {
  const compare = COMPARE[sign];
  if (column.numeric) {
    const number = Number(text);
    return (row) => { const value = column.value(row); return value !== null && compare(value, number); };
  }
  const word = text.replaceAll('"', "").toLowerCase();
  const fits = column.words.map((item) => compare(item.toLowerCase(), word));
  return (row) => column.cells[row] !== null && fits[column.cells[row]];
}

function mention(text, columns) {
  const word = text.toLowerCase();
  const number = /^[-+.\d∞]/.test(word) ? Number(word) : NaN;
  const tests = columns.map((column) => {
    if (!column.numeric) {
      const fits = column.words.map((item) => item.toLowerCase().includes(word));
      return (row) => column.cells[row] !== null && fits[column.cells[row]];
    }
    if (!/^[-+.\d∞]/.test(word)) return () => false;
    return column.whole ? (row) => column.value(row) === number : (row) => column.text(row).startsWith(word);
  });
  return (row) => tests.some((test) => test(row));
}

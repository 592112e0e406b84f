"use strict";
const SVG = "http:" + "//www.w3.org/2000/svg";
const status_ = document.querySelector(".status");

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function copy(text) {
  const done = () => { status_.textContent = "Copied."; };
  const fall = () => {
    const area = element("textarea", "");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    done();
  };
  if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(done, fall);
  else fall();
}

function copyButton(label, read) {
  const button = element("button", label, "copy");
  button.type = "button";
  button.addEventListener("click", () => {
    copy(read());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

/* Tables: headings sort, up, down and back; the table is copied as it is shown. */
function numberOf(text) {
  const found = /^<?\s*(-?\.?\d[\d,]*\.?\d*(?:e[-+]?\d+)?)/i.exec(text);
  return found ? parseFloat(found[1].replace(/,/g, "")) : NaN;
}

function compareCells(a, b) {
  const [x, y] = [numberOf(a), numberOf(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

const isEmpty = (text) => text === "" || text === "-";

function sortable(table) {
  const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.classList.contains("plain")) return;
    const button = element("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" };
      const order = next[head.getAttribute("aria-sort")];
      heads.forEach((each) => { if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none"); });
      head.setAttribute("aria-sort", order);
      const sign = order === "descending" ? -1 : 1;
      const text = (row) => row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [text(a), text(b)];
        if (isEmpty(x) || isEmpty(y)) return isEmpty(x) - isEmpty(y);
        return sign * compareCells(x, y);
      };
      /* The rows of each body are sorted below its heading. */
      bodies.forEach(([body, rows]) => {
        const first = rows.filter((row) => row.classList.contains("group"));
        const others = rows.filter((row) => !row.classList.contains("group"));
        body.replaceChildren(...first, ...(order === "none" ? others : [...others].sort(compare)));
      });
    });
  });
}

function tsv(table) {
  /* A name that a spreadsheet would take for a formula is kept as text. */
  const safe = (text) => (/^[=+@]|^-(?![\d.]|$)/.test(text) ? "'" : "") + text.replace(/\s+/g, " ").trim();
  const shown = [...table.rows].filter((row) => !row.hidden && !row.parentElement?.hidden);
  return shown.map((row) => [...row.cells].map((cell) => safe(cell.textContent)).join("\t")).join("\n");
}

document.querySelectorAll("table.sortable").forEach((table) => {
  sortable(table);
  table.parentElement.after(copyButton("Copy table (TSV)", () => tsv(table)));
});
document.querySelectorAll(".copied").forEach((block) => {
  const paragraphs = () => [...block.children].map((each) => each.textContent).join("\n\n");
  block.before(copyButton("Copy", paragraphs));
});

/* Charts: the pointer and the slider below choose a place; its values are read out. */
function reader(figure) {
  const source = figure.querySelector("script");
  if (!source) return;
  const known = JSON.parse(source.textContent);
  const svg = figure.querySelector("svg");
  const output = figure.querySelector("output");
  const sliders = [...figure.querySelectorAll("input")];
  const cross = svg.querySelector(".cross");
  output.textContent = "Point at the chart, or move the slider, to read values.";
  const show = known.kind === "curve" ? showCurve : showCell;
  sliders.forEach((slider) => slider.addEventListener("input", () => show(...sliders.map((s) => +s.value))));
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);

  function point(event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    let places;
    if (known.kind === "curve") {
      const far = known.x.map((each) => Math.abs(each - x));
      places = [far.indexOf(Math.min(...far))];
    } else {
      const [left, top, width, height] = known.box;
      const within = (value, n) => Math.min(Math.max(Math.floor(value), 0), n - 1);
      places = [within((y - top) / height, known.rows.length), within((x - left) / width, known.columns.length)];
    }
    places.forEach((place, i) => { sliders[i].value = place; });
    show(...places);
  }

  function read(heading, values) {
    output.replaceChildren(element("strong", heading), ...values.map((text) => element("span", text)));
    const spoken = [heading, ...values].join("; ");
    sliders.forEach((slider) => slider.setAttribute("aria-valuetext", spoken));
  }

  function showCurve(i) {
    cross.setAttribute("x1", known.x[i]);
    cross.setAttribute("x2", known.x[i]);
    cross.setAttribute("visibility", "visible");
    svg.querySelectorAll(".here").forEach((each) => each.remove());
    known.series.forEach((series) => {
      if (series.y[i] === null) return;
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("class", "here dot " + series.class);
      for (const [name, value] of [["cx", known.x[i]], ["cy", series.y[i]], ["r", 5]]) dot.setAttribute(name, value);
      svg.append(dot);
    });
    read(known.labels[i], known.series.map((series) => series.name + " " + series.text[i]));
  }

  function showCell(row, column) {
    const [left, top, width, height] = known.box;
    cross.setAttribute("x", left + column * width);
    cross.setAttribute("y", top + row * height);
    cross.setAttribute("visibility", "visible");
    const value = known.values[row][column];
    read(known.rows[row] + ", " + known.columns[column], [value === null ? "no value" : String(value)]);
  }
}

function legend(figure) {
  const groups = [...figure.querySelectorAll(".series")];
  figure.querySelectorAll(".legend button").forEach((button, i) => {
    button.addEventListener("click", () => {
      const chosen = groups[i].classList.toggle("chosen");
      button.setAttribute("aria-pressed", String(chosen));
      figure.classList.toggle("picking", groups.some((each) => each.classList.contains("chosen")));
    });
  });
}

document.querySelectorAll("figure.chart").forEach((figure) => { reader(figure); legend(figure); });
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not(.raw)").forEach((each) => { each.open = true; });
});

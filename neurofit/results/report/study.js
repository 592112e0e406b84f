
/* The page of a study: filters, and the curves of chosen cells over each other. */
function known(selector) {
  const source = document.querySelector(selector + " + .known script, " + selector + " ~ .known script");
  return source ? JSON.parse(source.textContent) : null;
}

function svgElement(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function filters(form) {
  const table = document.querySelector("table.cells");
  const values = known(".filters");
  const words = form.querySelector(".words");
  const menus = [...form.querySelectorAll("select")];
  const bodies = [...table.tBodies].map((body) => {
    const name = body.rows[0].textContent.toLowerCase();
    const rows = [...body.rows].slice(1).map((row) => [row, row.cells[0].textContent.toLowerCase() + " " + name]);
    return [body, rows];
  });
  const total = bodies.reduce((n, [, rows]) => n + rows.length, 0);
  function apply() {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    bodies.forEach(([body, rows], i) => {
      const wanted = menus.every((menu, j) => menu.value === "" || +menu.value === values[i][j]);
      let left = 0;
      for (const [row, text] of rows) {
        row.hidden = !(wanted && asked.every((word) => text.includes(word)));
        left += !row.hidden;
      }
      body.hidden = left === 0;
      shown += left;
    });
    form.querySelector(".shown").textContent = shown + " of " + total + " curves";
  }
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

function ticks(low, high, n) {
  const rough = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((each) => each >= rough * 0.999);
  const made = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) made.push(+(i * step).toPrecision(10));
  return made;
}

/* Runs of places that have values. */
function pieces(values) {
  const made = [[]];
  values.forEach((value, i) => {
    if (value !== null) made.at(-1).push(i);
    else if (made.at(-1).length) made.push([]);
  });
  return made.filter((piece) => piece.length);
}

function drawCurves(quantity, curves) {
  const [width, height, left, right, top, bottom] = [640, 340, 62, 14, 34, 54];
  const bins = [...new Map(curves.flatMap((c) => c.bins).map((bin) => [bin.join("-"), bin])).values()];
  bins.sort((a, b) => a[0] + a[1] - b[0] - b[1]);
  const places = bins.map((bin) => bin.join("-"));
  const middle = bins.map(([start, end]) => (start + end) / 2);
  const at = (curve, name) => places.map((place) => {
    const i = curve.bins.findIndex((bin) => bin.join("-") === place);
    return i < 0 ? null : curve[name][i];
  });
  const series = curves.map((curve) => ({ label: curve.label, values: at(curve, "values"), low: at(curve, "low"), high: at(curve, "high") }));
  const finite = series.flatMap((s) => [...s.values, ...s.low, ...s.high]).filter((v) => v !== null);
  const least = Math.min(0, ...finite);
  const most = Math.max(0.05, ...finite);
  const pad = 0.05 * (most - least);
  const [low, high] = [least - (least < 0 ? pad : 0), most + pad];
  const half = middle.length > 1 ? (middle[1] - middle[0]) / 2 : 1;
  const [first, last] = [middle[0] - half, middle.at(-1) + half];
  const x = (value) => left + (value - first) / (last - first) * (width - right - left);
  const y = (value) => height - bottom - (value - low) / (high - low) * (height - bottom - top);
  const few = series.length <= 3;

  const figure = element("figure", "", few ? "chart" : "chart many");
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": quantity + ": " + series.map((s) => s.label).join(", ") });
  svg.append(svgElement("text", { class: "title", x: 4, y: 18 }, quantity));
  for (const value of ticks(low, high, 7)) {
    svg.append(svgElement("line", { class: value === 0 ? "grid zero" : "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(svgElement("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (const value of ticks(first, last, 6)) {
    svg.append(svgElement("line", { class: "tick", x1: x(value), x2: x(value), y1: height - bottom, y2: height - bottom + 5 }));
    svg.append(svgElement("text", { x: x(value), y: height - bottom + 22, "text-anchor": "middle" }, String(value)));
  }
  svg.append(svgElement("text", { class: "title", x: width - right, y: height - 8, "text-anchor": "end" }, "time from stimulus onset (ms)"));
  const path = (points) => "M" + points.map(([a, b]) => a.toFixed(1) + " " + b.toFixed(1)).join("L");
  const style = (i) => "s" + (i % 8) + (i >= 8 ? " again" : "");
  series.forEach((s, i) => {
    const group = svgElement("g", { class: "series" });
    for (const piece of pieces(s.low)) {
      const above = piece.map((j) => [x(middle[j]), y(s.high[j])]);
      const below = piece.map((j) => [x(middle[j]), y(s.low[j])]).reverse();
      group.append(svgElement("path", { class: "area " + style(i), d: path([...above, ...below]) + "z" }));
    }
    for (const piece of pieces(s.values)) {
      const points = piece.map((j) => [x(middle[j]), y(s.values[j])]);
      group.append(svgElement("path", { class: "line " + style(i), d: path(points) }));
      if (few || piece.length === 1) points.forEach(([a, b]) => group.append(svgElement("circle", { class: "dot " + style(i), cx: a, cy: b, r: 3 })));
    }
    svg.append(group);
  });
  svg.append(svgElement("line", { class: "cross", x1: 0, x2: 0, y1: top, y2: height - bottom, visibility: "hidden" }));

  const text = (s, j) => {
    if (s.values[j] === null) return "no value";
    return s.values[j].toFixed(3) + (s.low[j] === null ? "" : ` (${s.low[j].toFixed(3)} to ${s.high[j].toFixed(3)})`);
  };
  const read = element("div", "", "reader");
  const slider = element("input", "");
  Object.assign(slider, { type: "range", min: 0, max: places.length - 1, step: 1, value: 0 });
  slider.setAttribute("aria-label", "Place to read in the chart: " + quantity);
  const output = element("output", "");
  output.setAttribute("aria-live", "polite");
  const source = element("script", JSON.stringify({
    kind: "curve",
    x: middle.map(x),
    labels: places.map((place) => place + " ms"),
    series: series.map((s, i) => ({
      name: s.label,
      class: style(i),
      y: s.values.map((value) => value === null ? null : y(value)),
      text: places.map((_, j) => text(s, j)),
    })),
  }));
  source.type = "application/json";
  read.append(slider, output, source);
  const list = element("ul", "", "legend");
  list.setAttribute("aria-label", "Curves; press one to emphasise it");
  series.forEach((s, i) => {
    const button = element("button", "");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const swatch = svgElement("svg", { class: "swatch", viewBox: "0 0 28 12", "aria-hidden": "true" });
    swatch.append(svgElement("line", { class: "line " + style(i), x1: 1, x2: 27, y1: 6, y2: 6 }));
    button.append(swatch, s.label);
    const item = element("li", "");
    item.append(button);
    list.append(item);
  });
  const intervals = [...new Set(curves.map((curve) => curve.interval).filter(Boolean))].join("; ");
  const note = intervals ? (few ? "Shaded: " : "A curve chosen in the legend is shaded: ") + intervals + "." : "";
  figure.append(svg, read, list, element("figcaption", note));
  reader(figure);
  legend(figure);
  return figure;
}

function overlay(place) {
  const all = known(".drawn");
  const boxes = [...document.querySelectorAll("input.choose")];
  const bar = document.querySelector(".bar");
  const chosen = new Set(all.chosen);
  boxes.forEach((box) => { box.checked = chosen.has(+box.dataset.row); });
  function draw() {
    const curves = [...chosen].map((i) => {
      const [g, label, values, low, high] = all.rows[i];
      return { group: all.groups[g], label, values, low, high };
    });
    const quantities = new Map();
    curves.forEach((curve) => {
      const own = quantities.get(curve.group.quantity) || [];
      quantities.set(curve.group.quantity, [...own, curve]);
    });
    const named = new Set(curves.map((curve) => curve.group.name));
    const figures = [...quantities].map(([quantity, own]) => drawCurves(quantity, own.map((curve) => ({
      ...curve,
      bins: curve.group.bins,
      interval: curve.group.interval,
      label: named.size > 1 ? curve.label + ", " + curve.group.name : curve.label,
    }))));
    const heading = named.size === 1 ? [element("p", [...named][0], "of")] : [];
    place.replaceChildren(...heading, ...figures);
    if (!figures.length) place.append(element("p", "No curve is chosen."));
    bar.hidden = false;
    bar.querySelector(".count").textContent = chosen.size + (chosen.size === 1 ? " curve chosen" : " curves chosen");
  }
  boxes.forEach((box) => box.addEventListener("change", () => {
    if (box.checked && chosen.size >= all.most) {
      box.checked = false;
      bar.querySelector(".count").textContent = "At most " + all.most + " curves are drawn; clear one first";
      return;
    }
    if (box.checked) chosen.add(+box.dataset.row);
    else chosen.delete(+box.dataset.row);
    draw();
  }));
  bar.querySelector(".clear").addEventListener("click", () => {
    chosen.clear();
    boxes.forEach((box) => { box.checked = false; });
    draw();
  });
  draw();
}

document.querySelectorAll(".filters").forEach(filters);
document.querySelectorAll(".drawn").forEach(overlay);

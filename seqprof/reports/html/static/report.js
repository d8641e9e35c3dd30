// Draws the plots of a page from the data that the page holds. No network, no HTML from data:
// whatever a recording says reaches the page as text only.
//
// The data is a list, one entry a figure (its data-chart is the index):
//   {kind: "lines", x, xname, unit, log?, xlog?, xticks?, series: [{name, colour, y, low?, high?, dash?,
//    points?, stepped?, fit?}], spans?: [{from, to, name, colour}], steps?: {at, phases},
//    marks?: [{at, low, high, name}]}
//   {kind: "map", unit, starts, end, rows, values}          values: rows × starts, flat
// An array is {u: unit, v: whole numbers} or {from, step, count}; null is "not measured".
(() => {
"use strict";

const root = document.documentElement;
const specs = JSON.parse(document.getElementById("data").textContent);
const plots = new Map(); // figure element -> {redraw(), resize()}

// Numbers -----------------------------------------------------------------------------------

function unpack(array) {
  if (array.v) return array.v.map(n => (n === null ? null : n * array.u));
  return Array.from({length: array.count}, (_, i) => array.from + i * array.step);
}

const SCALES = {
  s: [[1, " s"], [1e-3, " ms"], [1e-6, " µs"], [1e-9, " ns"]],
  B: [[2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"], [1, " B"]],
  Hz: [[1e9, " GHz"], [1e6, " MHz"], [1, " Hz"]],
  "1": [[1e-2, " %"]],
  operations: [[1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]],
};

function shown(value, unit, digits = 3) {
  if (value === null || value === undefined) return "—";
  if (value === 0) return "0";
  const scales = SCALES[unit] || [[1, unit ? " " + unit : ""]];
  const [scale, name] = scales.find(([s]) => Math.abs(value) >= s * 0.9995) || scales.at(-1);
  const scaled = Number((value / scale).toPrecision(digits));
  return scaled.toLocaleString("en", {maximumSignificantDigits: digits}) + name;
}

// Colours come from the style sheet, so that both themes are written in one place ------------

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

function colour(name, alpha = 1) {
  probe.style.color = `var(--${name})`;
  const parts = getComputedStyle(probe).color.match(/[\d.]+/g);
  return `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${alpha})`;
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function button(text, act) {
  const made = make("button", {type: "button", textContent: text});
  made.addEventListener("click", act);
  return made;
}

function swatch(name, shape = "") {
  const made = make("i", {className: `swatch ${shape}`});
  made.style.setProperty("--swatch", `var(--${name})`);
  return made;
}

// Lines -------------------------------------------------------------------------------------

function linePlot(figure, spec) {
  const x = unpack(spec.x);
  const series = spec.series.map(s => ({
    ...s,
    y: unpack(s.y),
    low: s.low ? unpack(s.low) : null,
    high: s.high ? unpack(s.high) : null,
    shown: true,
  }));
  const steps = spec.steps ? unpackSteps(spec.steps) : null;
  const drawn = figure.querySelector(".drawn");
  const tools = make("div", {className: "tools"});
  const plot = make("div", {className: "plot", tabIndex: 0});
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-roledescription", "plot");
  plot.setAttribute("aria-label",
    figure.dataset.label + ". Left and right arrow: read values; plus and minus: zoom; Escape: all.");
  const legend = make("ul", {className: "legend"});
  const announced = make("p", {className: "announced"});
  announced.setAttribute("aria-live", "polite");
  drawn.replaceChildren(tools, plot, legend, announced);

  let log = Boolean(spec.log);
  let uplot = null;
  const values = [];

  const toggle = button("Log scale", () => {
    log = !log;
    toggle.setAttribute("aria-pressed", log);
    build(true);
  });
  toggle.setAttribute("aria-pressed", log);
  const whole = button("Whole range", () => reset());
  tools.append(toggle, button("Zoom in", () => zoom(0.5)), button("Zoom out", () => zoom(2)), whole);

  const at = make("output");
  legend.append(make("li", {className: "at"}, make("span", {textContent: spec.xname}), at));
  series.forEach((s, i) => {
    const output = make("output", {textContent: ""});
    values.push(output);
    const pressed = button("", () => {
      s.shown = !s.shown;
      pressed.setAttribute("aria-pressed", s.shown);
      for (const index of columns[i]) uplot.setSeries(index, {show: s.shown});
    });
    pressed.append(swatch(s.colour, s.points ? "dot" : s.dash ? "dashed" : s.low ? "" : "line"), s.name);
    pressed.setAttribute("aria-pressed", true);
    legend.append(make("li", {}, pressed, output));
  });
  const behind = new Map((spec.spans || []).map(span => [span.name, span.colour]));
  for (const name of steps ? Object.keys(spec.steps.phases) : []) behind.set(name, name);
  for (const [name, tint] of behind) {
    legend.append(make("li", {className: "behind"}, swatch(tint), `behind: ${name}`));
  }

  // One column of uPlot's data for the line, and two more where there is a band.
  const data = [x];
  const columns = [];
  const bands = [];
  for (const s of series) {
    const own = [data.push(s.y) - 1];
    if (s.low && !s.points) {
      own.push(data.push(s.high) - 1, data.push(s.low) - 1);
      bands.push({series: [own[1], own[2]], fill: () => colour(s.colour, 0.2)});
    }
    columns.push(own);
  }

  function options() {
    const axis = {
      stroke: () => colour("text"),
      grid: {stroke: () => colour("grid"), width: 1},
      ticks: {stroke: () => colour("grid"), width: 1},
      font: "12px system-ui, sans-serif",
    };
    const described = [{}];
    series.forEach((s, i) => {
      const hidden = {scale: "y", stroke: "transparent", width: 0, points: {show: false}, show: s.shown};
      const few = x.length <= 200 && !s.fit && !s.stepped;
      described.push({
        scale: "y",
        show: s.shown,
        stroke: () => colour(s.colour),
        width: s.points ? 0 : 1.5,
        dash: s.dash ? [5, 4] : undefined,
        pxAlign: s.fit ? 0 : 1,
        spanGaps: Boolean(s.fit || s.stepped),
        paths: s.points ? () => null : s.stepped ? uPlot.paths.stepped({align: -1}) : undefined,
        points: {
          show: Boolean(s.points) || few,
          size: s.points ? 6 : 4,
          width: 1,
          stroke: () => colour(s.colour),
          fill: () => colour(s.colour),
        },
      });
      for (let n = 1; n < columns[i].length; n++) described.push(hidden);
    });
    return {
      width: plot.clientWidth || 600,
      height: plot.clientWidth < 480 ? 220 : 280,
      legend: {show: false},
      cursor: {drag: {x: true, y: false}, points: {show: false}},
      scales: {
        x: {time: false, distr: spec.xlog ? 3 : 1, ...(spec.xlog && {range: nearLog})},
        y: {distr: log ? 3 : 1, range: log ? nearLog : fromZero},
      },
      axes: [
        {...axis, label: spec.xname, labelSize: 22, labelFont: axis.font, size: 34,
          ...(spec.xname !== "seconds" && {incrs: WHOLE}),
          ...(spec.xlog && {splits: (u, n, low, high) => logTicks(low, high, spec.xticks), filter: same}),
          values: (u, splits) => splits.map(v => (v === null ? "" : v.toLocaleString("en")))},
        {...axis, scale: "y", size: 68,
          ...(log && {splits: (u, n, low, high) => logTicks(low, high), filter: same}),
          values: (u, splits) => splits.map(v => (v === null ? "" : shown(v, spec.unit)))},
      ],
      series: described,
      bands,
      hooks: {drawClear: [paintBehind], draw: [paintOver], setCursor: [read]},
    };
  }

  function fromZero(u, low, high) {
    if (low === null) return [0, 1];
    const top = spec.unit === "1" ? Math.max(1, high) : high;
    return [Math.min(0, low), top * 1.06 || 1];
  }

  function nearLog(u, low, high) {
    if (low === null || !(low > 0)) return [1e-6, 1];
    return low === high ? [low / 2, high * 2] : [low / 1.08, high * 1.08];
  }

  function build(keep = false) {
    const range = keep && uplot ? {min: uplot.scales.x.min, max: uplot.scales.x.max} : null;
    if (uplot) uplot.destroy();
    // A logarithm of zero is nowhere: such a value is not drawn.
    const positive = log ? data.map((c, i) => (i ? c.map(v => (v > 0 ? v : null)) : c)) : data;
    uplot = new uPlot(options(), positive, plot);
    if (range) uplot.setScale("x", range);
    if (!root.dataset.firstPlotMs) root.dataset.firstPlotMs = Math.round(performance.now());
  }

  function read(u) {
    const i = u.cursor.idx;
    const none = i === null || i === undefined;
    at.textContent = none ? "" : x[i].toLocaleString("en", {maximumSignificantDigits: 6});
    series.forEach((s, n) => {
      if (none || s.y[i] === null || s.y[i] === undefined) {
        values[n].textContent = "";
        return;
      }
      const band = s.low && s.low[i] !== null && s.high[i] !== null
        ? ` (${shown(s.low[i], spec.unit)} – ${shown(s.high[i], spec.unit)})` : "";
      values[n].textContent = shown(s.y[i], spec.unit) + band;
    });
  }

  function paintBehind(u) {
    const {ctx, bbox} = u;
    const band = (from, to, tint, alpha) => {
      const left = Math.max(u.valToPos(from, "x", true), bbox.left);
      const right = Math.min(u.valToPos(to, "x", true), bbox.left + bbox.width);
      if (right <= left) return;
      ctx.fillStyle = colour(tint, alpha);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    };
    for (const span of spec.spans || []) band(span.from, span.to, span.colour, 0.16);
    if (!steps) return;
    const perPixel = (u.scales.x.max - u.scales.x.min) / bbox.width;
    for (const [name, from, to] of steps.bands) {
      if (steps.typical > 4 * perPixel) band(from, to, name, 0.25);
    }
  }

  function paintOver(u) {
    const {ctx, bbox} = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.lineWidth = devicePixelRatio;
    series.forEach(s => {
      if (!s.points || !s.low || !s.shown) return;
      ctx.strokeStyle = colour(s.colour);
      ctx.beginPath();
      x.forEach((value, i) => {
        if (s.low[i] === null || s.low[i] === undefined) return;
        const place = u.valToPos(value, "x", true);
        ctx.moveTo(place, u.valToPos(s.low[i], "y", true));
        ctx.lineTo(place, u.valToPos(s.high[i], "y", true));
      });
      ctx.stroke();
    });
    (spec.marks || []).forEach((mark, n) => paintMark(u, mark, n));
    ctx.restore();
  }

  function paintMark(u, mark, n) {
    const {ctx, bbox} = u;
    const place = u.valToPos(mark.at, "x", true);
    if (mark.low !== null && mark.high !== null) {
      const left = u.valToPos(mark.low, "x", true);
      ctx.fillStyle = colour("text", 0.12);
      ctx.fillRect(left, bbox.top, u.valToPos(mark.high, "x", true) - left, bbox.height);
    }
    ctx.strokeStyle = colour("text");
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(place, bbox.top);
    ctx.lineTo(place, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillStyle = colour("text");
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    const right = place > bbox.left + bbox.width / 2;
    ctx.textAlign = right ? "right" : "left";
    const line = bbox.top + (16 + 16 * n) * devicePixelRatio;
    ctx.fillText(mark.name, place + (right ? -6 : 6) * devicePixelRatio, line);
  }

  // At once, not with the next frame: where the cursor goes is reckoned from the new range.
  function setRange(min, max) {
    uplot.batch(() => uplot.setScale("x", {min, max}));
  }

  function point(i) {
    const top = uplot.bbox.height / devicePixelRatio / 2;
    uplot.setCursor({left: uplot.valToPos(x[i], "x"), top});
  }

  function zoom(factor) {
    const {min, max} = uplot.scales.x;
    const i = uplot.cursor.idx;
    const [to, from] = spec.xlog ? [Math.log, Math.exp] : [v => v, v => v];
    const [low, high] = [to(min), to(max)];
    const inView = i !== null && i !== undefined && x[i] >= min && x[i] <= max;
    const centre = inView ? to(x[i]) : (low + high) / 2;
    const half = (high - low) * factor / 2;
    setRange(Math.max(from(centre - half), x[0]), Math.min(from(centre + half), x.at(-1)));
    if (inView) point(i);
  }

  function reset() {
    setRange(x[0], x.at(-1));
  }

  function move(by) {
    const i = uplot.cursor.idx;
    const {min, max} = uplot.scales.x;
    const first = x.findIndex(v => v >= min);
    const next = Math.min(x.length - 1, Math.max(0, i === null || i === undefined ? first : i + by));
    if (x[next] < min || x[next] > max) { // keep what is read in view
      const width = max - min;
      const low = Math.min(Math.max(x[next] - width / 2, x[0]), x.at(-1) - width);
      setRange(low, low + width);
    }
    point(next);
    announced.textContent = `${spec.xname} ${at.textContent}: ` + series
      .map((s, n) => (values[n].textContent ? `${s.name} ${values[n].textContent}` : ""))
      .filter(Boolean).join("; ");
  }

  const keys = {
    ArrowLeft: e => move(e.shiftKey ? -10 : -1),
    ArrowRight: e => move(e.shiftKey ? 10 : 1),
    Home: () => move(-x.length),
    End: () => move(x.length),
    "+": () => zoom(0.5),
    "-": () => zoom(2),
    Escape: reset,
  };
  plot.addEventListener("keydown", event => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(event);
  });

  build();
  return {
    redraw: () => {
      // A plot that is new has no scale yet, and will be drawn in any case.
      if (uplot.scales.x.min !== null) uplot.redraw(true, true);
    },
    resize: width => uplot.setSize({width, height: width < 480 ? 220 : 280}),
    element: plot,
  };
}

// Steps of an axis on which only whole numbers lie.
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];

const same = (u, splits) => splits;

// At most eight ticks on a logarithmic axis, of those given or else round ones, well apart.
function logTicks(low, high, given) {
  const round = digits => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const digit of digits) found.push(Number(`${digit}e${power}`));
    }
    return found.filter(v => v >= low && v <= high);
  };
  let ticks = given ? given.filter(v => v >= low && v <= high) : round([1, 2, 5]);
  if (ticks.length < 3) ticks = round([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]);
  const apart = Math.log(high / low) / 9;
  let last = 0;
  return ticks.filter(v => {
    if (last && Math.log(v / last) < apart) return false;
    last = v;
    return true;
  });
}

function unpackSteps(steps) {
  const starts = unpack(steps.at);
  const phases = Object.entries(steps.phases).map(([name, array]) => [name, unpack(array)]);
  const bands = [];
  const lengths = [];
  starts.forEach((start, i) => {
    let from = start;
    for (const [name, times] of phases) {
      bands.push([name, from, from + times[i]]);
      from += times[i];
    }
    lengths.push(from - start);
  });
  lengths.sort((a, b) => a - b);
  return {bands, typical: lengths[lengths.length >> 1] || 0};
}

// Heat map ----------------------------------------------------------------------------------

// Dark to light, alike in both themes and for the colour-blind (viridis, by Smith and van der Walt).
const RAMP = [[68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142], [31, 161, 135],
  [74, 194, 109], [159, 218, 58], [253, 231, 37]];

function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[i].map((v, n) => Math.round(v + (RAMP[i + 1][n] - v) * (place - i)));
}

function heatMap(figure, spec) {
  const values = unpack(spec.values);
  const [columns, rows] = [spec.starts.length, spec.rows.length];
  const drawn = figure.querySelector(".drawn");
  const canvas = make("canvas", {width: columns, height: rows});
  const pointer = make("i", {className: "pointer", hidden: true});
  const holder = make("div", {className: "map", tabIndex: 0}, canvas, pointer);
  holder.style.setProperty("--rows", rows);
  holder.setAttribute("role", "group");
  holder.setAttribute("aria-roledescription", "heat map");
  holder.setAttribute("aria-label", figure.dataset.label + ". Arrow keys: read values.");
  const readout = make("p", {className: "readout", textContent: "Point at a cell to read it."});
  readout.setAttribute("aria-live", "polite");
  const ends = make("p", {className: "ends"},
    make("span", {textContent: `t = ${spec.starts[0].toLocaleString("en")}`}),
    make("span", {textContent: `t = ${(spec.end - 1).toLocaleString("en")}`}));

  // The middle 96 % of the values span the colours: a single pause must not blacken all others.
  const known = values.filter(v => v !== null).sort((a, b) => a - b);
  const low = known[Math.floor(0.02 * (known.length - 1))];
  const high = known[Math.ceil(0.98 * (known.length - 1))];
  const key = make("p", {className: "key"},
    make("span", {textContent: `≤ ${shown(low, spec.unit)}`}), make("i", {className: "ramp"}),
    make("span", {textContent: `≥ ${shown(high, spec.unit)} (logarithmic)`}));
  drawn.replaceChildren(holder, ends, key, readout);

  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  values.forEach((value, i) => {
    if (value === null) return;
    const share = high > low && low > 0 ? Math.log(value / low) / Math.log(high / low) : 0;
    image.data.set([...ramp(share), 255], 4 * i);
  });
  context.putImageData(image, 0, 0);

  let [column, row] = [0, 0];
  function read(c, r) {
    column = Math.min(Math.max(c, 0), columns - 1);
    row = Math.min(Math.max(r, 0), rows - 1);
    const first = spec.starts[column];
    const last = (spec.starts[column + 1] ?? spec.end) - 1;
    const where = first === last ? `timestep ${first}` : `timesteps ${first}–${last}`;
    const value = values[row * columns + column];
    readout.textContent = `Step ${spec.rows[row]}, ${where}: ` +
      (value === null ? "not marked" : shown(value, spec.unit));
    pointer.hidden = false;
    pointer.style.left = `${100 * column / columns}%`;
    pointer.style.top = `${100 * row / rows}%`;
    pointer.style.width = `${100 / columns}%`;
    pointer.style.height = `${100 / rows}%`;
  }
  const point = event => {
    const box = canvas.getBoundingClientRect();
    read(Math.floor((event.clientX - box.left) / box.width * columns),
      Math.floor((event.clientY - box.top) / box.height * rows));
  };
  holder.addEventListener("pointermove", point);
  holder.addEventListener("pointerdown", point);
  const keys = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  holder.addEventListener("keydown", event => {
    const by = keys[event.key];
    if (!by) return;
    event.preventDefault();
    const times = event.shiftKey ? 10 : 1;
    if (pointer.hidden) read(0, 0);
    else read(column + times * by[0], row + times * by[1]);
  });
  return {redraw: () => {}, resize: () => {}, element: holder};
}

document.getElementById("unscripted").remove();

// The page ----------------------------------------------------------------------------------

function draw(figure) {
  if (plots.has(figure)) return;
  const spec = specs[Number(figure.dataset.chart)];
  const plot = (spec.kind === "map" ? heatMap : linePlot)(figure, spec);
  plots.set(figure, plot);
  sizes.observe(plot.element);
}

const sizes = new ResizeObserver(entries => {
  for (const {target} of entries) {
    const plot = plots.get(target.closest("figure"));
    if (plot && target.clientWidth) plot.resize(target.clientWidth);
  }
});

// A plot is drawn when it comes near the view: a page with many must open at once.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    draw(entry.target);
  }
}, {rootMargin: "600px"});
const figures = [...document.querySelectorAll("figure.chart")];
const first = figures.find(figure => !figure.closest("details"));
if (first) draw(first);
figures.filter(figure => figure !== first).forEach(figure => seen.observe(figure));

const theme = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function recolour() {
  theme.textContent = isDark() ? "Light colours" : "Dark colours";
  for (const plot of plots.values()) plot.redraw();
}

theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  recolour();
});
system.addEventListener("change", recolour);
recolour();

// Printed: all plots, in light colours, and how the numbers were obtained.
let kept = null;
addEventListener("beforeprint", () => {
  if (kept !== null) return;
  kept = root.dataset.theme || "";
  root.dataset.theme = "light";
  document.querySelectorAll("details.methods").forEach(details => { details.open = true; });
  figures.filter(figure => !figure.closest("details:not([open])")).forEach(draw);
  for (const plot of plots.values()) plot.resize(Math.min(plot.element.clientWidth || 640, 640));
  recolour();
});
addEventListener("afterprint", () => {
  if (kept === null) return;
  if (kept) root.dataset.theme = kept;
  else delete root.dataset.theme;
  kept = null;
  document.querySelectorAll("details.methods").forEach(details => { details.open = false; });
  for (const plot of plots.values()) plot.resize(plot.element.clientWidth);
  recolour();
});
})();

// What a plot or a heat map shows now, as SVG: the same range, curves, colours and ticks.

// Makes an element of a drawing; numbers are cut to a tenth of a pixel.
function shape(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, typeof value === "number" ? Math.round(value * 10) / 10 : value);
  }
  made.append(...children);
  return made;
}

function words(x, y, text, attributes = {}) {
  return shape("text", {x, y, fill: colour("text"), ...attributes}, text);
}

function drawing(width, height, ...inside) {
  const made = shape("svg", {xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`,
    width, height, "font-family": "sans-serif", "font-size": "12"},
    shape("rect", {width, height, fill: colour("page")}), ...inside);
  return new XMLSerializer().serializeToString(made);
}

const LEGEND = 18; // a line of the legend
const HEAD = 26; // the name of the values, above

function plotAsSvg(plot) {
  const {uplot: u, spec} = plot;
  const pixel = devicePixelRatio;
  const box = {left: u.bbox.left / pixel, top: u.bbox.top / pixel + HEAD,
    width: u.bbox.width / pixel, height: u.bbox.height / pixel};
  const at = {x: v => box.left + u.valToPos(v, "x"), y: v => box.top + u.valToPos(v, "y")};
  const visible = plot.series.filter(series => series.shown);
  const clip = shape("clipPath", {id: "inside"}, shape("rect", frame(box)));
  const inside = shape("g", {"clip-path": "url(#inside)"},
    ...backdropShapes(plot.backdrop, u, at, box),
    ...visible.flatMap(series => curveShapes(series, plot.x, at, u.scales.x)),
    ...plot.marks.flatMap((mark, row) => markShapes(mark, row, at, box)));
  const bottom = box.top + box.height;
  const behind = [...plot.backdrop.names].map(([name, tint]) => ({name: `behind: ${name}`, colour: tint, pale: true}));
  const legend = [...visible, ...behind].flatMap((entry, i) => legendShapes(entry, box.left, bottom + 60 + LEGEND * i));
  const height = bottom + 56 + LEGEND * (visible.length + behind.length + 1);
  return drawing(u.width, height, clip, words(12, 18, `${plot.label}: ${spec.yname}`, {"font-size": "14"}),
    ...axisShapes(u, at, box), inside,
    words(box.left + box.width / 2, bottom + 36, spec.xname, {"text-anchor": "middle"}), ...legend);
}

function frame({left, top, width, height}) {
  return {x: left, y: top, width, height};
}

function axisShapes(u, at, box) {
  const bottom = box.top + box.height;
  const [across, up] = u.axes.map(axis => axis._splits
    .map((split, i) => [split, axis._values[i]]).filter(([split, text]) => split !== null && text));
  return [
    ...across.map(([split]) => line(at.x(split), box.top, at.x(split), bottom, colour("grid"))),
    ...up.map(([split]) => line(box.left, at.y(split), box.left + box.width, at.y(split), colour("grid"))),
    ...across.map(([split, text]) => words(at.x(split), bottom + 18, text, {"text-anchor": "middle"})),
    ...up.map(([split, text]) => words(box.left - 6, at.y(split) + 4, text, {"text-anchor": "end"})),
  ];
}

function line(x1, y1, x2, y2, stroke, more = {}) {
  return shape("line", {x1, y1, x2, y2, stroke, ...more});
}

function backdropShapes(backdrop, u, at, box) {
  const tinted = [...backdrop.spans.map(span => ({...span, tint: span.colour, alpha: 0.16})),
    ...(backdrop.showsSteps(u) ? backdrop.bands.map(band => ({...band, tint: band.name, alpha: 0.25})) : [])];
  return tinted.map(({from, to, tint, alpha}) => shape("rect", {...frame(box), x: at.x(from),
    width: Math.max(0, at.x(to) - at.x(from)), fill: colour(tint), "fill-opacity": String(alpha)}));
}

// The curve with its band or intervals, as far as it lies in the range that is shown.
function curveShapes(series, x, at, {min, max}) {
  const stroke = colour(series.colour);
  const near = x.map((v, i) => i).filter(i => (x[i + 1] ?? x[i]) >= min && (x[i - 1] ?? x[i]) <= max);
  const has = values => near.filter(i => values[i] !== null && values[i] !== undefined
    && Number.isFinite(at.y(values[i])));
  const known = has(series.y);
  const shapes = [];
  if (series.low && series.points) {
    shapes.push(...has(series.low).map(i => line(at.x(x[i]), at.y(series.low[i]), at.x(x[i]),
      at.y(series.high[i]), stroke)));
  } else if (series.low) {
    const band = has(series.low);
    const edge = (values, order) => order.map(i => `${tenth(at.x(x[i]))},${tenth(at.y(values[i]))}`);
    shapes.push(shape("polygon", {fill: stroke, "fill-opacity": "0.2",
      points: [...edge(series.high, band), ...edge(series.low, [...band].reverse())].join(" ")}));
  }
  const joined = series.smooth || series.stepped;
  if (!series.points) {
    shapes.push(shape("path", {d: path(known, i => at.x(x[i]), i => at.y(series.y[i]), joined, series.stepped),
      fill: "none", stroke, "stroke-width": "1.5", ...(series.dash && {"stroke-dasharray": "5 4"})}));
  }
  const dots = series.points || (x.length <= 200 && !joined) ? known : joined ? [] : alone(series.y);
  shapes.push(...dots.filter(i => known.includes(i)).map(i => shape("circle",
    {cx: at.x(x[i]), cy: at.y(series.y[i]), r: series.points ? 3 : 2, fill: stroke})));
  return shapes;
}

const tenth = v => Math.round(v * 10) / 10;

function path(known, left, top, joined, stepped) {
  return known.map((i, n) => {
    const follows = n > 0 && (joined || known[n - 1] === i - 1);
    if (!follows) return `M${tenth(left(i))} ${tenth(top(i))}`;
    return stepped ? `V${tenth(top(i))}H${tenth(left(i))}` : `L${tenth(left(i))} ${tenth(top(i))}`;
  }).join("");
}

function markShapes(mark, row, at, box) {
  const place = at.x(mark.at);
  const isRight = place > box.left + box.width / 2;
  const shapes = [line(place, box.top, place, box.top + box.height, colour("text"), {"stroke-dasharray": "4 3"}),
    words(place + (isRight ? -6 : 6), box.top + 14 + 16 * row, mark.name,
      {"text-anchor": isRight ? "end" : "start"})];
  if (mark.low === null || mark.high === null) return shapes;
  return [shape("rect", {...frame(box), x: at.x(mark.low), width: at.x(mark.high) - at.x(mark.low),
    fill: colour("text"), "fill-opacity": "0.12"}), ...shapes];
}

function legendShapes(entry, x, y) {
  const tint = colour(entry.colour);
  const sample = entry.dash
    ? line(x - 6, y - 4, x + 18, y - 4, tint, {"stroke-width": "2", "stroke-dasharray": "5 4"})
    : shape("rect", {x, y: y - 10, width: 12, height: 12, fill: tint, "fill-opacity": entry.pale ? "0.3" : "1"});
  return [sample, words(x + 26, y, entry.name)];
}

// The map: a rectangle for each value, with the same colours.
function mapAsSvg(map, title) {
  const [width, left, cell] = [760, 68, 14];
  const [across, height] = [(width - left - 14) / map.columns, cell * map.rows];
  const [low, high] = map.ends;
  const tints = map.values.flatMap((value, i) => {
    if (value === null) return [];
    const [column, row] = [i % map.columns, Math.floor(i / map.columns)];
    return [shape("rect", {x: left + across * column, y: HEAD + 8 + cell * row, width: across + 0.1, height: cell + 0.1,
      fill: `rgb(${map.tint(value).join(", ")})`})];
  });
  const ticks = map.rowTicks().map(row => words(left - 6, HEAD + 8 + cell * (row + 0.7), String(map.spec.rows[row]),
    {"text-anchor": "end"}));
  const ends = [[left, "start", map.spec.starts[0]], [width - 14, "end", map.spec.end - 1]].map(([x, anchor, timestep]) =>
    words(x, HEAD + height + 26, String(timestep), {"text-anchor": anchor}));
  const said = `probed step (down), timestep (across): ≤ ${shown(low, map.spec.unit)} dark, ` +
    `≥ ${shown(high, map.spec.unit)} light (logarithmic)`;
  return drawing(width, HEAD + height + 56, words(12, 18, title, {"font-size": "14"}), ...tints, ...ticks, ...ends,
    words(12, HEAD + height + 46, said));
}

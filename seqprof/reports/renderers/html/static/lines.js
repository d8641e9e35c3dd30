// A plot of curves over one axis, on uPlot: read by pointer and keys, zoomed, its curves hidden and
// shown. `spec` is a Lines of plots.py.

const GUTTER = {left: 68, right: 14}; // of the axis and beyond it; the heat map has the same
const TOP = 18; // above the curves: names of what is behind them
const NARROW = 480;

class LinePlot {
  constructor(figure, spec) {
    this.spec = spec;
    this.label = figure.dataset.label;
    this.x = unpack(spec.x);
    this.series = spec.curves.map(curve => ({
      ...curve,
      y: unpack(curve.y),
      low: curve.low ? unpack(curve.low) : null,
      high: curve.high ? unpack(curve.high) : null,
      shown: true,
    }));
    this.backdrop = new Backdrop(spec);
    this.marks = spec.marks || [];
    this.log = Boolean(spec.log);
    this.extent = this.padded();
    this.element = make("div", {className: "plot"});
    describe(this.element, "plot", `${figure.dataset.label}. ` +
      "Left and right arrow: read values; plus and minus: zoom; Escape: all.");
    figure.querySelector(".drawn").replaceChildren(this.head(), this.element, ...this.legend());
    this.columns();
    this.build();
    onKeys(this.element, {
      ArrowLeft: times => this.move(-times),
      ArrowRight: times => this.move(times),
      Home: () => this.move(-this.x.length),
      End: () => this.move(this.x.length),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      Escape: () => this.reset(),
    });
  }

  // Around it ----------------------------------------------------------------------------------

  head() {
    const toggle = button("Log scale", "", () => {
      this.log = !this.log;
      toggle.setAttribute("aria-pressed", this.log);
      this.build();
    });
    toggle.setAttribute("aria-pressed", this.log);
    return make("div", {className: "head"},
      make("span", {className: "yname", textContent: this.spec.yname}),
      make("span", {className: "tools"}, toggle,
        button("+", "Zoom in", () => this.zoom(0.5)),
        button("−", "Zoom out", () => this.zoom(2)),
        button("Whole range", "", () => this.reset()),
        ...savers(this.spec.yname, () => plotAsSvg(this), () => this.uplot.ctx.canvas)));
  }

  legend() {
    this.at = make("output", {className: "hint", textContent: "Point at the plot, or use arrow keys."});
    this.announced = make("p", {className: "announced"});
    this.announced.setAttribute("aria-live", "polite");
    const list = make("ul", {className: "legend"});
    this.values = this.series.map((series, i) => {
      const shape = series.points ? "dot" : series.dash ? "dashed" : series.low ? "" : "line";
      const pressed = button("", "", () => this.toggle(i, pressed));
      pressed.append(swatch(series.colour, shape), series.name);
      pressed.setAttribute("aria-pressed", true);
      const output = make("output");
      list.append(make("li", {}, pressed, output));
      return output;
    });
    const behind = make("ul", {className: "legend behind"}, make("li", {textContent: "Behind:"}));
    for (const [name, tint] of this.backdrop.names) {
      behind.append(make("li", {}, swatch(tint), name));
    }
    const parts = [make("p", {className: "at"}, this.at), list, this.announced];
    return this.backdrop.names.size ? [...parts, behind] : parts;
  }

  toggle(i, pressed) {
    const series = this.series[i];
    series.shown = !series.shown;
    pressed.setAttribute("aria-pressed", series.shown);
    this.uplot.batch(() => {
      for (const column of series.columns) this.uplot.setSeries(column, {show: series.shown});
    });
  }

  // For uPlot ----------------------------------------------------------------------------------

  // One column of uPlot's data for the curve, and two more where there is a band.
  columns() {
    this.data = [this.x];
    this.bands = [];
    for (const series of this.series) {
      series.columns = [this.data.push(series.y) - 1];
      if (!series.low || series.points) continue;
      const band = [this.data.push(series.high) - 1, this.data.push(series.low) - 1];
      series.columns.push(...band);
      this.bands.push({series: band, fill: () => colour(series.colour, 0.2)});
    }
  }

  build() {
    const zoomed = this.uplot ? {...this.uplot.scales.x} : null;
    if (this.uplot) this.uplot.destroy();
    // A logarithm of zero is nowhere: such a value is not drawn.
    const positive = column => column.map(v => (v > 0 ? v : null));
    const data = this.log ? [this.x, ...this.data.slice(1).map(positive)] : this.data;
    this.uplot = new uPlot(this.options(), data, this.element);
    if (zoomed) this.setRange(zoomed.min, zoomed.max);
  }

  options() {
    const {spec} = this;
    const width = this.element.clientWidth || 600;
    return {
      width,
      height: this.height(width),
      padding: [TOP, GUTTER.right, 0, 0],
      legend: {show: false},
      cursor: {drag: {x: true, y: false}, points: {size: 7}},
      scales: {
        x: {time: false, distr: spec.xlog ? 3 : 1, range: (u, low, high) => this.xRange(low, high)},
        y: {distr: this.log ? 3 : 1, range: this.log ? aroundLog : (u, low, high) => this.fromZero(low, high)},
      },
      axes: this.axes(),
      series: [{}, ...this.series.flatMap(series => this.describedSeries(series))],
      bands: this.bands,
      hooks: {
        drawClear: [u => this.backdrop.paint(u)],
        draw: [u => this.paintOver(u)],
        setCursor: [u => this.read(u.cursor.idx)],
      },
    };
  }

  height(width) {
    return width < NARROW ? 230 : 290;
  }

  axes() {
    const {spec} = this;
    const axis = {
      stroke: () => colour("text"),
      grid: {stroke: () => colour("grid"), width: 1},
      ticks: {stroke: () => colour("grid"), width: 1},
      font: "12px system-ui, sans-serif",
    };
    const steps = spec.unit === "B" ? BINARY : DECIMAL;
    return [
      {...axis, label: spec.xname, labelSize: 22, labelFont: axis.font, size: 34,
        incrs: spec.whole ? DECIMAL.filter(step => step >= 1) : DECIMAL,
        ...(spec.xlog && logAxis("width", 48, spec.xticks)),
        values: (u, splits) => splits.map(v => plain(v, 9))},
      {...axis, scale: "y", size: GUTTER.left, incrs: steps,
        ...(this.log && logAxis("height", 18)),
        values: (u, splits) => splits.map(v => shown(v, spec.unit, 5))},
    ];
  }

  describedSeries(series) {
    const isFew = this.x.length <= 200 && !series.smooth && !series.stepped;
    const tint = () => colour(series.colour);
    const hidden = {scale: "y", stroke: "transparent", width: 0, points: {show: false}, show: series.shown};
    const line = {
      scale: "y",
      show: series.shown,
      stroke: tint,
      width: series.points ? 0 : 1.5,
      dash: series.dash ? [5, 4] : undefined,
      pxAlign: series.smooth ? 0 : 1,
      spanGaps: Boolean(series.smooth || series.stepped),
      paths: series.points ? () => null : series.stepped ? uPlot.paths.stepped({align: -1}) : undefined,
      points: {
        show: Boolean(series.points) || isFew,
        // A value between two that are unknown is no line: it is a point, or it would not be seen.
        filter: (u, i, isShown) => (isShown || series.smooth || series.stepped ? null : alone(series.y)),
        size: series.points ? 6 : 4, width: 1, stroke: tint, fill: tint,
      },
    };
    return [line, ...series.columns.slice(1).map(() => hidden)];
  }

  paintOver(u) {
    const {ctx, bbox} = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const series of this.series) {
      if (series.points && series.low && series.shown) paintIntervals(u, this.x, series);
    }
    this.marks.forEach((mark, row) => paintMark(u, mark, row));
    ctx.restore();
    tellFirstPlot();
  }

  // Ranges -------------------------------------------------------------------------------------

  // Whole timesteps and steps are as wide as the cells of the heat map; points keep off the edge.
  padded() {
    const [first, last] = [this.x[0], this.x.at(-1)];
    if (this.spec.xlog) return [first / 1.08, last * 1.08];
    const pad = this.spec.whole ? (this.spec.x.step || 1) / 2 : (last - first) * 0.01;
    return [first - (pad || 0.5), last + (pad || 0.5)];
  }

  xRange(low, high) {
    const isAll = low <= this.x[0] && high >= this.x.at(-1);
    return isAll ? this.extent : [low, high];
  }

  fromZero(low, high) {
    if (low === null) return [0, 1];
    const top = this.spec.unit === "1" ? Math.max(1, high) : high;
    return [Math.min(0, low), top * 1.06 || 1];
  }

  // At once, not with the next frame: where the cursor goes is reckoned from the new range.
  setRange(min, max) {
    this.uplot.batch(() => this.uplot.setScale("x", {min, max}));
  }

  reset() {
    this.setRange(this.x[0], this.x.at(-1));
  }

  zoom(factor) {
    const {min, max} = this.uplot.scales.x;
    const i = this.uplot.cursor.idx;
    const [to, from] = this.spec.xlog ? [Math.log, Math.exp] : [v => v, v => v];
    const inView = Number.isInteger(i) && this.x[i] >= min && this.x[i] <= max;
    const centre = inView ? to(this.x[i]) : (to(min) + to(max)) / 2;
    const half = (to(max) - to(min)) * factor / 2;
    const [first, last] = [this.x[0], this.x.at(-1)];
    const low = Math.max(from(centre - half), first);
    const high = Math.min(from(centre + half), last);
    if (!(high > low)) return;
    this.setRange(low, high);
    if (inView) this.point(i);
  }

  // Reading ------------------------------------------------------------------------------------

  read(i) {
    if (!Number.isInteger(i)) return; // the pointer left; what it read last stays
    this.at.className = "";
    this.at.textContent = `${this.spec.xname}: ${plain(this.x[i], 6)}`;
    this.series.forEach((series, n) => { this.values[n].textContent = this.valueAt(series, i); });
  }

  valueAt(series, i) {
    // A stepped value covers the time before it, up to the one ahead of it.
    const known = series.stepped ? series.y.findIndex((v, at) => at >= i && v !== null) : i;
    const value = series.y[known];
    if (value === null || value === undefined) return "";
    const low = series.low ? series.low[known] : null;
    return low === null ? shown(value, this.spec.unit)
      : shownWithin(value, low, series.high[known], this.spec.unit);
  }

  point(i) {
    const top = this.uplot.bbox.height / devicePixelRatio / 2;
    this.uplot.setCursor({left: this.uplot.valToPos(this.x[i], "x"), top});
  }

  move(by) {
    const {x, uplot} = this;
    const i = uplot.cursor.idx;
    const {min, max} = uplot.scales.x;
    const from = Number.isInteger(i) ? i : x.findIndex(v => v >= min) - Math.sign(by);
    const next = Math.min(x.length - 1, Math.max(0, from + by));
    if (x[next] < min || x[next] > max) { // keep what is read in view
      const low = Math.min(Math.max(x[next] - (max - min) / 2, x[0]), x.at(-1) - (max - min));
      this.setRange(low, low + (max - min));
    }
    this.point(next);
    const told = this.series.map((series, n) => [series.name, this.values[n].textContent])
      .filter(([, value]) => value).map(([name, value]) => `${name} ${value}`);
    this.announced.textContent = `${this.at.textContent}. ${told.join("; ")}`;
  }

  // For the page -------------------------------------------------------------------------------

  redraw() {
    // A plot that is new has no scale yet, and will be drawn in any case.
    if (this.uplot.scales.x.min !== null) this.uplot.redraw(true, true);
  }

  resize(width) {
    this.uplot.setSize({width, height: this.height(width)});
  }
}

// For uPlot: the ticks of a logarithmic axis, each of which needs so many pixels. It tells lengths in
// pixels of the device.
function logAxis(length, each, given) {
  const most = u => Math.max(u.bbox[length] / devicePixelRatio / each, 2);
  return {
    splits: (u, axis, low, high) => logTicks(low, high, most(u), given),
    filter: (u, splits) => splits,
  };
}

function alone(values) {
  const isKnown = i => values[i] !== null && values[i] !== undefined;
  return [...values.keys()].filter(i => isKnown(i) && !isKnown(i - 1) && !isKnown(i + 1));
}

function aroundLog(u, low, high) {
  if (low === null || !(low > 0)) return [1e-6, 1];
  return low === high ? [low / 2, high * 2] : [low / 1.08, high * 1.08];
}

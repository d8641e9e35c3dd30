// A heat map, read by pointer and keys. `spec` is a HeatMap of plots.py.

// Dark to light, alike in both themes and for the colour-blind (viridis, by Smith and van der Walt).
const RAMP = [[68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142], [31, 161, 135],
  [74, 194, 109], [159, 218, 58], [253, 231, 37]];

function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[i].map((v, n) => Math.round(v + (RAMP[i + 1][n] - v) * (place - i)));
}

class HeatMap {
  constructor(figure, spec) {
    this.spec = spec;
    this.values = unpack(spec.values); // rows × columns, flat
    [this.columns, this.rows] = [spec.starts.length, spec.rows.length];
    [this.column, this.row] = [0, 0];
    this.ends = this.spread();
    this.canvas = make("canvas", {width: this.columns, height: this.rows});
    this.pointer = make("i", {className: "pointer", hidden: true});
    this.element = make("div", {className: "map"}, this.canvas, this.pointer);
    this.element.style.setProperty("--rows", this.rows);
    describe(this.element, "heat map", `${figure.dataset.label}. Arrow keys: read values.`);
    this.readout = make("output", {className: "hint", textContent: "Point at a cell, or use arrow keys."});
    this.across = make("p", {className: "across"});
    figure.querySelector(".drawn").replaceChildren(
      make("div", {className: "head"}, make("span", {className: "yname", textContent: "probed step"}),
        make("span", {className: "tools"},
          ...savers(figure.dataset.label, () => mapAsSvg(this, figure.dataset.label), () => this.enlarged()))),
      make("div", {className: "framed"}, this.down(), this.element), this.across,
      make("p", {className: "xname", textContent: "timestep"}),
      this.key(), make("p", {className: "at"}, this.readout));
    this.paint();
    this.listen();
  }

  // The middle 96 % of the values span the colours: a single pause must not blacken all others.
  spread() {
    const known = this.values.filter(v => v !== null).sort((a, b) => a - b);
    return [known[Math.floor(0.02 * (known.length - 1))], known[Math.ceil(0.98 * (known.length - 1))]];
  }

  key() {
    const [low, high] = this.ends;
    return make("p", {className: "key"},
      make("span", {textContent: `≤ ${shown(low, this.spec.unit)}`}), make("i", {className: "ramp"}),
      make("span", {textContent: `≥ ${shown(high, this.spec.unit)} (logarithmic)`}));
  }

  rowTicks() {
    return linearTicks(0, this.rows - 1, 6, DECIMAL.filter(step => step >= 1));
  }

  // Ticks of the rows, at the middle of each.
  down() {
    const ticks = this.rowTicks().map(row => {
      const tick = make("span", {textContent: this.spec.rows[row]});
      tick.style.top = `${100 * (row + 0.5) / this.rows}%`;
      return tick;
    });
    return make("div", {className: "down"}, ...ticks);
  }

  // Ticks of the columns; as many as there is room for.
  resize(width) {
    const {starts, end} = this.spec;
    const steps = DECIMAL.filter(step => step >= 1);
    this.across.replaceChildren(...linearTicks(0, end - 1, width / 70, steps).map(timestep => {
      const column = this.columnOf(timestep);
      const inside = (timestep - starts[column] + 0.5) / (this.endOf(column) - starts[column]);
      const tick = make("span", {textContent: plain(timestep, 9)});
      tick.style.left = `${100 * (column + inside) / this.columns}%`;
      return tick;
    }));
  }

  endOf(column) {
    return this.spec.starts[column + 1] ?? this.spec.end;
  }

  columnOf(timestep) {
    return this.spec.starts.findLastIndex(start => start <= timestep);
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(this.columns, this.rows);
    this.values.forEach((value, i) => {
      if (value === null) return;
      image.data.set([...this.tint(value), 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }

  tint(value) {
    const [low, high] = this.ends;
    return ramp(high > low && low > 0 ? Math.log(value / low) / Math.log(high / low) : 0);
  }

  // As large as it is shown, so that a cell is more than a pixel.
  enlarged() {
    const box = this.canvas.getBoundingClientRect();
    const large = make("canvas", {width: box.width * devicePixelRatio, height: box.height * devicePixelRatio});
    const ink = large.getContext("2d");
    ink.imageSmoothingEnabled = false;
    ink.drawImage(this.canvas, 0, 0, large.width, large.height);
    return large;
  }

  listen() {
    const point = event => {
      const box = this.canvas.getBoundingClientRect();
      this.read(Math.floor((event.clientX - box.left) / box.width * this.columns),
        Math.floor((event.clientY - box.top) / box.height * this.rows));
    };
    this.element.addEventListener("pointermove", point);
    this.element.addEventListener("pointerdown", point);
    const move = (across, down) => times => {
      const isFirst = this.pointer.hidden;
      this.read(this.column + (isFirst ? 0 : across * times), this.row + (isFirst ? 0 : down * times));
      this.readout.setAttribute("aria-live", "polite"); // keys only: a pointer would read out a flood
    };
    onKeys(this.element, {
      ArrowLeft: move(-1, 0), ArrowRight: move(1, 0), ArrowUp: move(0, -1), ArrowDown: move(0, 1),
    });
  }

  read(column, row) {
    this.column = Math.min(Math.max(column, 0), this.columns - 1);
    this.row = Math.min(Math.max(row, 0), this.rows - 1);
    const [first, last] = [this.spec.starts[this.column], this.endOf(this.column) - 1];
    const where = first === last ? `timestep ${first}` : `timesteps ${first}–${last}`;
    const value = this.values[this.row * this.columns + this.column];
    const text = value === null ? "not marked" : shown(value, this.spec.unit);
    this.readout.className = "";
    this.readout.textContent = `probed step ${this.spec.rows[this.row]}, ${where}: ${text}`;
    this.pointer.hidden = false;
    Object.assign(this.pointer.style, {
      left: `${100 * this.column / this.columns}%`,
      top: `${100 * this.row / this.rows}%`,
      width: `${100 / this.columns}%`,
      height: `${100 / this.rows}%`,
    });
  }

  redraw() {}
}

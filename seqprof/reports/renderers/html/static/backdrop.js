// What lies behind and over the curves of a plot: spans of time, phases of single steps, marks.

class Backdrop {
  constructor(spec) {
    this.spans = spec.spans || [];
    this.bands = [];
    this.typical = 0; // length of a step, in the unit of x
    this.names = new Map(this.spans.map(span => [span.name, span.colour]));
    if (!spec.steps) return;
    const phases = Object.entries(spec.steps.phases).map(([name, array]) => [name, unpack(array)]);
    for (const [name] of phases) this.names.set(name, name);
    this.addSteps(unpack(spec.steps.at), phases);
  }

  addSteps(starts, phases) {
    const lengths = starts.map((start, i) => {
      let from = start;
      for (const [name, times] of phases) {
        this.bands.push({name, from, to: from + times[i]});
        from += times[i];
      }
      return from - start;
    });
    this.typical = lengths.sort((a, b) => a - b)[lengths.length >> 1] || 0;
  }

  paint(u) {
    for (const span of this.spans) {
      const box = this.band(u, span.from, span.to, span.colour, 0.16);
      if (box) this.label(u, box, span.label);
    }
    if (!this.showsSteps(u)) return;
    for (const {name, from, to} of this.bands) this.band(u, from, to, name, 0.25);
  }

  // Narrower steps would only tint the plot.
  showsSteps(u) {
    return this.typical >= 4 * (u.scales.x.max - u.scales.x.min) / u.bbox.width;
  }

  band(u, from, to, tint, alpha) {
    const {ctx, bbox} = u;
    const left = Math.max(u.valToPos(from, "x", true), bbox.left);
    const right = Math.min(u.valToPos(to, "x", true), bbox.left + bbox.width);
    if (right <= left) return null;
    ctx.fillStyle = colour(tint, alpha);
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    return {left, width: right - left};
  }

  label(u, box, text) {
    const {ctx, bbox} = u;
    ctx.font = canvasFont();
    if (ctx.measureText(text).width + 8 * devicePixelRatio > box.width) return;
    ctx.fillStyle = colour("quiet");
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillText(text, box.left + 4 * devicePixelRatio, bbox.top - 4 * devicePixelRatio);
  }
}

function canvasFont() {
  return `${12 * devicePixelRatio}px system-ui, sans-serif`;
}

// The interval of each point, as a vertical stroke.
function paintIntervals(u, x, series) {
  u.ctx.strokeStyle = colour(series.colour);
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.beginPath();
  x.forEach((value, i) => {
    if (series.low[i] === null) return;
    const place = u.valToPos(value, "x", true);
    u.ctx.moveTo(place, u.valToPos(series.low[i], "y", true));
    u.ctx.lineTo(place, u.valToPos(series.high[i], "y", true));
  });
  u.ctx.stroke();
}

// A vertical line with its interval and its name; `row`: how many names stand above.
function paintMark(u, mark, row) {
  const {ctx, bbox} = u;
  const pixel = devicePixelRatio;
  const place = u.valToPos(mark.at, "x", true);
  if (mark.low !== null && mark.high !== null) {
    const left = u.valToPos(mark.low, "x", true);
    ctx.fillStyle = colour("text", 0.12);
    ctx.fillRect(left, bbox.top, u.valToPos(mark.high, "x", true) - left, bbox.height);
  }
  ctx.strokeStyle = ctx.fillStyle = colour("text");
  ctx.lineWidth = pixel;
  ctx.setLineDash([4 * pixel, 3 * pixel]);
  ctx.beginPath();
  ctx.moveTo(place, bbox.top);
  ctx.lineTo(place, bbox.top + bbox.height);
  ctx.stroke();
  ctx.setLineDash([]);
  const isRight = place > bbox.left + bbox.width / 2;
  ctx.font = canvasFont();
  ctx.textAlign = isRight ? "right" : "left";
  ctx.textBaseline = "alphabetic";
  const at = [place + (isRight ? -6 : 6) * pixel, bbox.top + (14 + 16 * row) * pixel];
  ctx.strokeStyle = colour("page");
  ctx.lineWidth = 4 * pixel;
  ctx.lineJoin = "round";
  ctx.strokeText(mark.name, ...at); // so that curves do not run through the letters
  ctx.fillText(mark.name, ...at);
}

// Numbers: as the page holds them, as a reader sees them, and round ones for an axis.

// An array is {u: unit, v: whole numbers} or {from, step, count}; null is "not measured".
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

function scaleOf(value, unit) {
  const scales = SCALES[unit] || [[1, unit ? " " + unit : ""]];
  return scales.find(([s]) => Math.abs(value) >= s * 0.9995) || scales.at(-1);
}

function shown(value, unit, digits = 3) {
  if (value === 0) return "0";
  const [scale, name] = scaleOf(value, unit);
  return plain(value / scale, digits) + name;
}

// A value with its interval, which is in the unit of the value.
function shownWithin(value, low, high, unit) {
  const [scale] = scaleOf(value, unit);
  return `${shown(value, unit)} (${plain(low / scale, 3)}–${plain(high / scale, 3)})`;
}

function plain(value, digits) {
  return Number(value.toPrecision(digits)).toLocaleString("en", {maximumSignificantDigits: digits});
}

// Steps that make round ticks: 1, 2 and 5 times the powers of ten; of bytes, powers of two.
const DECIMAL = [];
for (let power = -9; power <= 15; power++) DECIMAL.push(...[1, 2, 5].map(n => Number(`${n}e${power}`)));
const BINARY = Array.from({length: 51}, (_, power) => 2 ** power);

function linearTicks(low, high, most, steps = DECIMAL) {
  const step = steps.find(s => s * most >= high - low) || high - low || 1;
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(n * step);
  return ticks;
}

// Ticks of a logarithmic axis, well apart: of those given, else round ones, powers of ten before all
// others; where the range is so short that it has hardly any, those of a linear axis.
function logTicks(low, high, most, given) {
  const within = ticks => ticks.filter(v => v >= low && v <= high);
  const choices = [within(given || []), roundBetween(low, high, [1, 2, 5]),
    roundBetween(low, high, [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9])].map(within);
  const ticks = choices.find(found => found.length > 2) || linearTicks(low, high, most);
  const apart = Math.log(high / low) / most;
  const chosen = [];
  for (const v of ticks) {
    if (chosen.every(other => Math.abs(Math.log(v / other)) >= apart)) chosen.push(v);
  }
  return chosen.sort((a, b) => a - b);
}

function roundBetween(low, high, digits) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({length: last - first + 1}, (_, i) => first + i);
  return digits.flatMap(digit => powers.map(power => Number(`${digit}e${power}`)));
}

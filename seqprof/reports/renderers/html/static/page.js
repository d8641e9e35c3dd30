// The page: plots are drawn as they come into view; themes; print. No network, and no HTML from
// data: whatever a recording says reaches the page as text.

const root = document.documentElement;
const specs = JSON.parse(document.getElementById("data").textContent);
const plots = new Map(); // figure element -> LinePlot or HeatMap

document.getElementById("unscripted").remove();

function draw(figure) {
  if (plots.has(figure)) return;
  const spec = specs[Number(figure.dataset.chart)];
  const plot = spec.kind === "map" ? new HeatMap(figure, spec) : new LinePlot(figure, spec);
  plots.set(figure, plot);
  sizes.observe(plot.element);
}

// After the frame that shows the first plot, for whoever measures how fast the page is.
let isTold = false;
function tellFirstPlot() {
  if (isTold) return;
  isTold = true;
  requestAnimationFrame(() => setTimeout(() => performance.mark("seqprof:first-plot")));
}

const sizes = new ResizeObserver(entries => {
  for (const {target} of entries) {
    const plot = plots.get(target.closest("figure"));
    if (target.clientWidth) plot.resize(target.clientWidth);
  }
});

// Near the view, for a page with many must open at once; the first of all at once.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    draw(entry.target);
  }
}, {rootMargin: "600px"});
const figures = [...document.querySelectorAll("figure.chart")];
const visible = figures.find(figure => !figure.closest("details"));
if (visible) draw(visible);
figures.filter(figure => figure !== visible).forEach(figure => seen.observe(figure));

// Keys stop only at tables that there is something to scroll in.
const frames = new ResizeObserver(entries => {
  for (const {target} of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(".scroll").forEach(frame => frames.observe(frame));

// Themes ------------------------------------------------------------------------------------

const theme = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function recolour() {
  theme.textContent = isDark() ? "Light colours" : "Dark colours";
  colours.clear();
  for (const plot of plots.values()) plot.redraw();
}

theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  recolour();
});
system.addEventListener("change", recolour);
recolour();

// Print: all plots, in light colours, and how the numbers were obtained. -----------------------

const PAPER = 640; // CSS pixels across, on paper of any usual size
let kept = null; // what was changed for the printer

addEventListener("beforeprint", () => {
  if (kept) return;
  const methods = [...document.querySelectorAll("details.methods:not([open])")];
  kept = {theme: root.dataset.theme, methods};
  root.dataset.theme = "light";
  for (const details of methods) details.open = true;
  figures.filter(figure => !figure.closest("details:not([open])")).forEach(draw);
  for (const plot of plots.values()) plot.resize(Math.min(plot.element.clientWidth || PAPER, PAPER));
  recolour();
});
addEventListener("afterprint", () => {
  if (!kept) return;
  if (kept.theme) root.dataset.theme = kept.theme;
  else delete root.dataset.theme;
  for (const details of kept.methods) details.open = false;
  kept = null;
  for (const plot of plots.values()) plot.resize(plot.element.clientWidth);
  recolour();
});

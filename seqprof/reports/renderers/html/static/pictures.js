// Pictures stand in the page as SVG, drawn without a script; here they get buttons that save them.

const DETAIL = 2; // pixels of a saved picture for each unit of the drawing

// The drawing by itself: what the style sheet says of each shape becomes its own attribute.
function standalone(drawing) {
  const copy = drawing.cloneNode(true);
  const shapes = drawing.querySelectorAll("rect, line, text");
  copy.querySelectorAll("rect, line, text").forEach((shape, i) => {
    const style = getComputedStyle(shapes[i]);
    for (const name of ["fill", "stroke", "font-size"]) shape.setAttribute(name, style.getPropertyValue(name));
    shape.removeAttribute("class");
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "sans-serif");
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", colour("page")]]) {
    ground.setAttribute(name, value);
  }
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

// The policy of the page lets no image in, not even its own: the shapes are drawn one by one.
function painted(drawing) {
  const {width, height} = drawing.viewBox.baseVal;
  const canvas = make("canvas", {width: width * DETAIL, height: height * DETAIL});
  const ink = canvas.getContext("2d");
  ink.scale(DETAIL, DETAIL);
  for (const shape of drawing.querySelectorAll("rect, line, text")) paintShape(ink, shape);
  return canvas;
}

function paintShape(ink, shape) {
  const style = getComputedStyle(shape);
  const number = name => Number(shape.getAttribute(name));
  ink.fillStyle = style.fill === "none" ? "transparent" : style.fill;
  ink.strokeStyle = style.stroke === "none" ? "transparent" : style.stroke;
  ink.lineWidth = parseFloat(style.strokeWidth) || 1;
  if (shape.tagName === "rect") {
    const box = ["x", "y", "width", "height"].map(number);
    ink.fillRect(...box);
    if (style.stroke !== "none") ink.strokeRect(...box);
  } else if (shape.tagName === "line") {
    ink.beginPath();
    ink.moveTo(number("x1"), number("y1"));
    ink.lineTo(number("x2"), number("y2"));
    ink.stroke();
  } else {
    ink.font = `${style.fontSize} sans-serif`;
    ink.fillText(shape.textContent, number("x"), number("y"));
  }
}

for (const figure of document.querySelectorAll("figure.picture")) {
  const drawing = figure.querySelector(".scroll svg");
  const title = figure.querySelector("h3").textContent;
  figure.querySelector("figcaption").append(
    ...savers(title, () => standalone(drawing), () => painted(drawing)));
}

// Elements and colours. Text from the data is set as text, never as markup.

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function button(text, label, act) {
  const made = make("button", {type: "button", textContent: text});
  if (label) {
    made.title = label;
    made.setAttribute("aria-label", label);
  }
  made.addEventListener("click", act);
  return made;
}

// The file's name is of letters and digits only, whatever the drawing is called.
function fileName(title, ending) {
  return `seqprof-${title.replace(/[^a-z0-9]+/gi, "-")}.${ending}`;
}

function save(href, name) {
  const link = make("a", {href});
  link.download = name;
  link.click();
}

// Buttons that save a drawing: `text` gives its SVG, `painted` a canvas that shows it.
function savers(title, text, painted) {
  const asText = () => `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text())}`;
  return [
    button("SVG", "Save the picture as SVG", () => save(asText(), fileName(title, "svg"))),
    button("PNG", "Save the picture as PNG", () => save(onGround(painted()), fileName(title, "png"))),
  ];
}

// What a canvas shows, on the page's own ground.
function onGround(canvas) {
  const picture = make("canvas", {width: canvas.width, height: canvas.height});
  const ink = picture.getContext("2d");
  ink.fillStyle = colour("page");
  ink.fillRect(0, 0, picture.width, picture.height);
  ink.drawImage(canvas, 0, 0);
  return picture.toDataURL("image/png");
}

function swatch(name, shape = "") {
  const made = make("i", {className: `swatch ${shape}`});
  made.style.setProperty("--swatch", `var(--${name})`);
  return made;
}

// What keys read: an element that takes the focus, and a line that a screen reader is told.
function describe(element, kind, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-roledescription", kind);
  element.setAttribute("aria-label", label);
}

function onKeys(element, acts) {
  element.addEventListener("keydown", event => {
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(event.shiftKey ? 10 : 1);
  });
}

// Colours come from the style sheet, so that both themes are written in one place. Asking for one
// costs a style recalculation: each is kept until the theme changes.
const colours = new Map();
const probe = make("span", {hidden: true});
document.body.append(probe);

function colour(name, alpha = 1) {
  if (!colours.has(name)) {
    probe.style.color = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3));
  }
  return `rgba(${colours.get(name).join(", ")}, ${alpha})`;
}

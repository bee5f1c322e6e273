/** Elements made by code: text only ever becomes text nodes, so file names and EXIF cannot become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes: a function is a listener, true an empty attribute, false or null none. */
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** An SVG element, by the same rules. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace all that an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text of others as it is safe to show: control and direction characters would let a name pose as another. */
export function shown(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu, "\uFFFD");
}

/** A name of others, kept apart from the direction of the text around it. */
export function named(text, attributes = {}) {
  return el("bdi", { class: "name", ...attributes }, shown(text));
}

/** A small drawing from icons.svg; it says nothing that the text beside it does not. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: `icons.svg#${name}` }));
}

/** A button with an icon and words. */
export function button(words, action, { kind = "", drawn = null, ...attributes } = {}) {
  return el("button", { type: "button", class: kind, onclick: action, ...attributes }, drawn && icon(drawn), el("span", {}, words));
}

/** Tell people who listen to the page rather than look at it. */
export function announce(words) {
  const place = document.getElementById("said");
  if (place) place.textContent = words;
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

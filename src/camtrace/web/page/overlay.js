/** The photo with what is drawn over it: patches and their votes, or the tamper map. The photo is shown as it is stored. */

import { el, fill, svg } from "./dom.js";
import { t } from "./texts.js";
import { voting } from "./words.js";

const SMALLEST = 12; // of a patch on the screen, in pixels: those of a large photo would be dots
const LONGEST = 1600; // side of the heat map in pixels, as in camtrace.tampering.heatmap

/** The frame of a photo: an element, and functions that draw over it. `width` and `height` are null where it was not read. */
export function photoFrame({ url, inspection }) {
  const { width, height } = inspection;
  const over = el("div", { class: "over-photo" });
  const missing = el("p", { class: "no-picture" }, t("photo.cannot-show"));
  const photo = el("img", { src: url, alt: t("photo.alt"), decoding: "async" });
  const frame = el("div", { class: "frame" }, photo, over);
  if (width && height) frame.style.setProperty("--ratio", width / height);
  photo.addEventListener("error", () => photo.replaceWith(missing));
  return {
    frame,
    showPatches: () => fill(over, drawPatches(inspection, frame)),
    showMap: (map) => fill(over, map),
    showNothing: () => fill(over),
    setStrength: (share) => over.style.setProperty("--strength", share),
  };
}

/** The patches as SVG in the photo's own pixels. Votes for the best camera are plain squares, others are dashed and crossed out. */
function drawPatches(inspection, frame) {
  const { width, height, patches, verdict } = inspection;
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": voting(inspection),
    class: "patches",
  });
  const draw = () => {
    const side = Math.max(inspection.patch_size, (SMALLEST * width) / (frame.clientWidth || width));
    fill(
      picture,
      patches.map((patch) => drawPatch(patch, inspection.patch_size, side, patch.camera === verdict.best)),
    );
  };
  new ResizeObserver(draw).observe(frame);
  draw();
  return picture;
}

function drawPatch({ row, column, camera }, size, side, agrees) {
  const x = column + (size - side) / 2;
  const y = row + (size - side) / 2;
  const square = (kind) => svg("rect", { x, y, width: side, height: side, class: kind });
  const cross = `M${x} ${y}l${side} ${side}M${x + side} ${y}l${-side} ${side}`;
  const title = svg("title", {}, t(agrees ? "patches.agrees" : "patches.differs", { camera }));
  const lines = agrees ? [] : [svg("path", { d: cross, class: "halo" }), svg("path", { d: cross, class: "mark" })];
  return svg("g", { class: agrees ? "patch agrees" : "patch differs" }, title, square("halo"), square("mark"), lines);
}

/** What the marks mean; only those that are there. */
export function patchLegend(inspection) {
  const agreeing = inspection.patches.filter(({ camera }) => camera === inspection.verdict.best).length;
  const entry = (agrees, count) => el("li", {}, sample(agrees), el("span", {}, legendWords(inspection.verdict, agrees, count)));
  const differing = inspection.patches.length - agreeing;
  return el("ul", { class: "legend" }, agreeing > 0 && entry(true, agreeing), differing > 0 && entry(false, differing));
}

function legendWords({ best }, agrees, count) {
  return t(agrees ? "legend.agrees" : "legend.differs", { camera: best, count });
}

function sample(agrees) {
  const picture = svg("svg", { viewBox: "-3 -3 22 22", class: "patches sample", "aria-hidden": "true" });
  const mark = drawPatch({ row: 0, column: 0, camera: "" }, 16, 16, agrees);
  mark.querySelector("title").remove();
  return fill(picture, mark);
}

/**
 * The service's heat map as an element that fits the photo. The picture is the photo reduced by a whole number, with a legend
 * below it and perhaps white beside it that are cut off here: the page has a legend of its own.
 */
export async function readMap(blob, { width, height }, words) {
  const picture = await createImageBitmap(blob);
  const factor = Math.ceil(Math.max(width, height) / LONGEST);
  const canvas = el("canvas", { class: "map", role: "img", "aria-label": words });
  canvas.width = Math.ceil(width / factor);
  canvas.height = Math.ceil(height / factor);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
  return canvas;
}

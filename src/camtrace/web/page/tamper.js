/** The tamper map of a photo: made when asked for, laid over the photo with a slider, told in words below. */

import { button, el, fill, shown } from "./dom.js";
import { explain, patiently } from "./errors.js";
import { readMap } from "./overlay.js";
import { percent, t } from "./texts.js";

/** What lies over the photo: patches, tamper map or nothing. `frame` is a photoFrame, `legend()` explains the patches. */
export function overlayControls({ engine, item, frame, legend }) {
  const below = el("div", { class: "below-photo" });
  const now = { kind: "patches" };
  const show = (kind) => {
    now.kind = kind;
    if (kind === "patches") (frame.showPatches(), fill(below, legend()));
    else if (kind === "nothing") (frame.showNothing(), fill(below));
    else showTamper({ engine, item, frame, below, isShown: () => now.kind === "tamper" });
  };
  const kinds = ["patches", "tamper", "nothing"].filter((kind) => kind !== "tamper" || engine.can.localize);
  const choices = kinds.map((kind) =>
    el(
      "label",
      { class: "segment" },
      el("input", {
        type: "radio",
        name: `overlay-${item.id}`,
        value: kind,
        checked: kind === now.kind,
        onchange: () => show(kind),
      }),
      el("span", {}, t(`overlay.${kind}`)),
    ),
  );
  show(now.kind);
  const controls = el("fieldset", { class: "segments" }, el("legend", { class: "heard" }, t("overlay.title")), choices);
  const note = engine.can.localize ? null : el("p", { class: "hint" }, t("tamper.needs-service"));
  return { controls, below, note };
}

/** Show the map, made once for an item, unless something else was chosen in the meantime. */
async function showTamper({ engine, item, frame, below, isShown }) {
  frame.showNothing();
  const job = (item.tamper ??= startMap(engine, item));
  fill(
    below,
    el("p", { role: "status" }, t("tamper.working")),
    el("progress", { "aria-label": t("tamper.working") }),
    job.note,
    cancelButton(job),
  );
  try {
    const { found, map } = await job.result;
    if (!isShown()) return;
    if (map) frame.showMap(map);
    fill(below, map && slider(frame), map && scale(), telling(found));
  } catch (error) {
    item.tamper = null; // so that the next try asks again
    if (!isShown()) return;
    const { title, detail } = explain(error);
    const retry = button(t("action.again"), () => showTamper({ engine, item, frame, below, isShown }), {
      kind: "quiet",
      drawn: "again",
    });
    fill(
      below,
      el("div", { class: "notice", role: "alert" }, el("p", {}, title), detail && el("p", { class: "detail" }, detail), retry),
    );
  }
}

/** Ask for the localization and for its picture, both at once: {result, controller, note}. */
function startMap(engine, item) {
  const controller = new AbortController();
  const { signal } = controller;
  const note = el("p", { class: "hint" });
  const options = { signal, bundle: item.settings.bundle };
  const ask = (way) => patiently(() => engine[way](item.file, options), { signal, onWait: (words) => fill(note, words ?? "") });
  const picture = ask("heatmap").catch((error) => error); // a photo that cannot be judged has none
  const result = ask("localize").then(async (found) => {
    if (found.status !== "ok") return { found, map: null };
    const blob = await picture;
    if (blob instanceof Error) throw blob;
    return { found, map: await readMap(blob, item.result, t(found.alarm ? "tamper.alt.alarm" : "tamper.alt.quiet")) };
  });
  return { result, controller, note };
}

function cancelButton({ controller }) {
  return button(t("action.cancel"), () => controller.abort(new DOMException("", "AbortError")), { kind: "quiet", drawn: "close" });
}

function slider(frame) {
  const start = 0.7;
  const input = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: start });
  input.addEventListener("input", () => frame.setStrength(input.value));
  frame.setStrength(start);
  return el("label", { class: "slider" }, el("span", {}, t("tamper.strength")), input);
}

function scale() {
  return el(
    "div",
    { class: "heat-legend" },
    el("span", {}, t("tamper.fits")),
    el("span", { class: "heat-bar", "aria-hidden": "true" }),
    el("span", {}, t("tamper.foreign")),
    el("span", { class: "heat-none", "aria-hidden": "true" }),
    el("span", {}, t("tamper.no-data")),
  );
}

/** What was found, in words; an alarm never without what it does not prove. */
function telling(found) {
  if (found.status !== "ok") return el("p", { class: "notice" }, t(`status.${found.status}`), " ", found.reason);
  const [width, height] = found.size;
  const regions = found.regions.map((region) => {
    const [left, top, right, bottom] = region.box;
    const share = percent(region.area / (width * height));
    const where = t("tamper.region", { left, top, right, bottom, share });
    const sure = region.probability === null ? null : t("tamper.probability", { probability: percent(region.probability) });
    return el("li", {}, shown([where, sure, region.reason].filter(Boolean).join(" ")));
  });
  return el(
    "div",
    { class: found.alarm ? "notice" : "" },
    el("p", { class: "strong" }, t(found.alarm ? "tamper.alarm" : "tamper.quiet")),
    el("p", { class: "hint" }, shown(found.reason)),
    regions.length > 0 && el("ol", {}, regions),
    found.remarks.map((remark) => el("p", { class: "hint" }, shown(remark))),
    el("p", { class: "hint" }, t("tamper.limits")),
  );
}

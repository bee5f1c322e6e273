/** Two photos: were they taken by one camera model or by two? */

import { announce, button, el, fill, named, shown } from "./dom.js";
import { explain, patiently } from "./errors.js";
import { dropZone } from "./files.js";
import { number, t } from "./texts.js";

const DECADES = [-6, -4, -3, -2, -1, 1, 2, 3, 4, 6]; // of the scale that is drawn, in log10 of the likelihood ratio
const END = 7;

/** Build the view into `section`; `setFirst(item)` puts a photo into the first place. */
export function createCompare({ section, engine, choices }) {
  const chosen = [null, null];
  const slots = [0, 1].map((side) => el("div", { class: "slot" }));
  const result = el("div", { class: "result" });
  fill(
    section,
    el("div", { class: "hero" }, el("h1", {}, t("compare.title")), el("p", { class: "lead" }, t("compare.lead"))),
    el("div", { class: "slots" }, slots),
    result,
  );
  slots.forEach((_, side) => draw(side));

  function put(side, found) {
    if (!found.length) return;
    if (chosen[side]) URL.revokeObjectURL(chosen[side].url);
    chosen[side] = { ...found[0], url: URL.createObjectURL(found[0].file) };
    draw(side);
    if (found.length > 1 && !chosen[1 - side]) put(1 - side, found.slice(1));
    else run();
  }

  function draw(side) {
    const one = chosen[side];
    const title = t(one ? "compare.another" : `compare.slot.${side + 1}`);
    const { zone } = dropZone({ title, hint: t("compare.hint"), small: true, take: (found) => put(side, found) });
    const photo = one && el("img", { src: one.url, alt: t("photo.alt"), class: "plain" });
    photo?.addEventListener("error", () => photo.remove());
    fill(slots[side], one && el("figure", {}, photo, el("figcaption", {}, named(one.path))), zone);
  }

  async function run() {
    if (!chosen[0] || !chosen[1]) return;
    const controller = new AbortController();
    const { signal } = controller;
    const note = el("p", { class: "hint" });
    const stop = button(t("action.cancel"), () => controller.abort(new DOMException("", "AbortError")), {
      kind: "quiet",
      drawn: "close",
    });
    const current = fill(
      el("div", { class: "card" }),
      el("p", { role: "status" }, t("compare.working")),
      el("progress", { "aria-label": t("compare.working") }),
      note,
      stop,
    );
    fill(result, current);
    const ask = () => engine.compare(chosen[0].file, chosen[1].file, { signal, bundle: choices.now().bundle });
    try {
      const found = await patiently(ask, { signal, onWait: (words) => fill(note, words ?? "") });
      fill(current, likeness(found));
      announce(current.querySelector("h2").textContent);
    } catch (error) {
      const { title, detail } = explain(error);
      fill(
        current,
        el("h2", {}, title),
        detail && el("p", { class: "detail" }, shown(detail)),
        el("p", {}, button(t("action.again"), run, { drawn: "again" })),
      );
      announce(title);
    }
  }

  return { setFirst: (item) => put(0, [{ file: item.file, path: item.path }]) };
}

/** What was found for a pair, in words first. */
function likeness(found) {
  const words = found.words ? `${found.words[0].toUpperCase()}${found.words.slice(1)}.` : t("compare.none");
  const { calibrated_on: support, log10_lr: ratio } = found;
  return [
    el("h2", {}, shown(words)),
    ratio !== null && scale(ratio),
    ratio !== null && el("p", { class: "hint" }, t("compare.log", { ratio: number(ratio, 2) })),
    el("p", { class: "meaning" }, shown(found.reason)),
    support && el("p", { class: "hint" }, t("compare.prior")),
  ];
}

/** The likelihood ratio on a line: two models to the left, one to the right. */
function scale(ratio) {
  const at = (value) => `${((Math.max(-END, Math.min(END, value)) + END) / (2 * END)) * 100}%`;
  const ticks = DECADES.map((decade) => {
    const tick = el("span", { class: "tick" });
    tick.style.insetInlineStart = at(decade);
    return tick;
  });
  const mark = el("span", { class: "scale-mark" });
  mark.style.insetInlineStart = at(ratio);
  return el(
    "div",
    { class: "scale", "aria-hidden": "true" },
    el("div", { class: "scale-line" }, ticks, mark),
    el(
      "div",
      { class: "scale-ends" },
      el("span", {}, t("compare.end.different")),
      el("span", {}, t("compare.end.neither")),
      el("span", {}, t("compare.end.same")),
    ),
  );
}

/** What the bundle knows: each camera with the photos that taught it and how often it was named rightly. */

import { el, fill, shown } from "./dom.js";
import { explain } from "./errors.js";
import { number, percent, t } from "./texts.js";

/** Build the view into `section`; `read()` promises {bundle, cameras}. Gives a function that draws it anew. */
export function createCameras({ section, read }) {
  const body = el("tbody");
  const lead = el("p", { class: "lead" });
  const protocols = el("div");
  const search = el("input", { type: "search", id: "search", autocomplete: "off", oninput: () => filter() });
  const head = ["camera", "photos", "accuracy"].map((name) =>
    el("th", { scope: "col", class: name === "camera" ? "" : "numeric" }, t(`cameras.${name}`)),
  );
  const table = el("table", {}, el("caption", { class: "heard" }, t("cameras.title")), el("thead", {}, el("tr", {}, head)), body);
  fill(
    section,
    el("div", { class: "hero" }, el("h1", {}, t("cameras.title")), lead),
    el("p", { class: "field" }, el("label", { for: "search" }, t("cameras.search")), search),
    el("div", { class: "table", role: "region", "aria-label": t("cameras.title"), tabindex: "0" }, table),
    protocols,
  );

  function filter() {
    const wanted = search.value.trim().toLowerCase();
    for (const row of body.rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  }

  return async () => {
    try {
      const { bundle, cameras } = await read();
      fill(lead, t("cameras.lead", { name: shown(bundle.name), version: shown(bundle.version), count: cameras.length }));
      fill(body, cameras.map(row));
      const kinds = [...new Set(cameras.map(({ protocol }) => protocol).filter(Boolean))].sort();
      fill(
        protocols,
        kinds.map((kind) => el("p", { class: "hint" }, t("cameras.protocol", { protocol: shown(kind) }))),
      );
      filter();
    } catch (error) {
      fill(lead, Object.values(explain(error)).filter(Boolean).join(" "));
    }
  };
}

function row({ name, photos, accuracy, tested }) {
  const right =
    accuracy === null || accuracy === undefined || !tested ? "–" : t("cameras.right", { share: percent(accuracy), count: tested });
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, shown(name)),
    el("td", { class: "numeric" }, number(photos)),
    el("td", { class: "numeric" }, right),
  );
}

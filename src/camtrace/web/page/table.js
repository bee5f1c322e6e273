/** Many photos as a table: a row each, sorted by any column; a row opens its photo's card. */

import { button, el, fill, icon, named, shown } from "./dom.js";
import { explain } from "./errors.js";
import { percent, t } from "./texts.js";
import { claimOf, headline, probabilityOf } from "./words.js";

const ORDER = { failed: 0, waiting: 1, working: 2, done: 3 };
const COLUMNS = {
  photo: (item) => item.path.toLowerCase(),
  answer: (item) =>
    item.state === "done"
      ? `1 ${item.result.verdict.answer_level === "unknown" ? "~" : ""}${headline(item.result.verdict)}`
      : `0 ${ORDER[item.state]}`,
  probability: (item, cameras) => (item.state === "done" ? (probabilityOf(item.result.verdict, cameras) ?? -1) : -2),
  exif: (item) => (item.state === "done" ? ["disagrees", "agrees", "nothing"].indexOf(claimOf(item.result.verdict).kind) : 3),
};

/** A table of items. `open(item)` shows a card, `remove(item)` takes a photo away; `cameras()` are those of the bundle. */
export function photoTable({ open, remove, cameras }) {
  const rows = new Map(); // item -> its row
  const body = el("tbody");
  const sorting = { column: null, down: false };
  const heads = Object.keys(COLUMNS).map((column) => head(column, () => sortBy(column)));
  const caption = el("caption", { class: "heard" }, t("table.caption"));
  const element = el(
    "div",
    { class: "table", role: "region", "aria-label": t("table.caption"), tabindex: "0" },
    el(
      "table",
      { class: "photos" },
      caption,
      el("thead", {}, el("tr", {}, heads, el("th", { scope: "col" }, heard("table.remove")))),
      body,
    ),
  );

  function sortBy(column) {
    Object.assign(sorting, { column, down: sorting.column === column && !sorting.down });
    for (const [place, name] of Object.keys(COLUMNS).entries()) {
      heads[place].setAttribute("aria-sort", name === column ? (sorting.down ? "descending" : "ascending") : "none");
    }
    body.append(...sorted().map((item) => rows.get(item)));
  }

  /** The items as they stand in the table. */
  function sorted() {
    const items = [...rows.keys()];
    if (!sorting.column) return items;
    const keyed = items.map((item) => ({ item, key: COLUMNS[sorting.column](item, cameras()) }));
    const side = sorting.down ? -1 : 1;
    return keyed.sort((one, other) => side * compare(one.key, other.key)).map(({ item }) => item);
  }

  function update(item, current) {
    if (!rows.has(item)) {
      const opener = el("button", { type: "button", class: "opener", onclick: () => open(item) }, thumb(item), named(item.path));
      rows.set(item, el("tr", {}, el("td", { class: "photo-cell" }, opener), el("td", { class: "end" }, removal(item, remove))));
      body.append(rows.get(item));
    }
    const row = rows.get(item);
    while (row.cells.length > 2) row.cells[1].remove(); // what can be focused stays, so that nobody loses the place
    row.cells[0].after(...cells(item, cameras()));
    row.classList.toggle("current", current);
    row.querySelector(".opener").setAttribute("aria-current", String(current));
  }

  function drop(item) {
    rows.get(item)?.remove();
    rows.delete(item);
  }

  return { element, update, drop, sorted };
}

/** The cells between the photo's name and its button. */
function cells(item, cameras) {
  if (item.state !== "done") {
    const words = item.state === "failed" ? explain(item.error).title : (item.note ?? t(`state.${item.state}`));
    return [el("td", { class: `state ${item.state}`, colspan: 3 }, words)];
  }
  const { verdict } = item.result;
  const claim = claimOf(verdict);
  const own = probabilityOf(verdict, cameras);
  const drawn = { agrees: "equal", disagrees: "unequal", nothing: "nothing" }[claim.kind];
  return [
    el("td", {}, headline(verdict)),
    el("td", { class: "numeric" }, own === null ? "–" : percent(own)),
    el(
      "td",
      {},
      el("span", { class: `claim small ${claim.kind}`, title: shown(claim.words) }, icon(drawn), el("span", {}, claim.short)),
    ),
  ];
}

function thumb(item) {
  const picture = el("img", { src: item.url, alt: "", class: "thumb", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.classList.add("missing"));
  return picture;
}

function removal(item, remove) {
  return button(t("action.remove.named", { name: shown(item.path) }), () => remove(item), { kind: "quiet bare", drawn: "close" });
}

function head(column, sort) {
  return el(
    "th",
    { scope: "col", "aria-sort": "none", class: column === "probability" ? "numeric" : "" },
    el("button", { type: "button", class: "sort", onclick: sort }, t(`table.${column}`)),
  );
}

function heard(key) {
  return el("span", { class: "heard" }, t(key));
}

function compare(one, other) {
  return typeof one === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true });
}

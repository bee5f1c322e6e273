/** The main view: drop photos, see the answers. One photo shows its card, several a table with the card of one of them. */

import { announce, button, el, fill } from "./dom.js";
import { explain } from "./errors.js";
import { save, toCsv, toJson } from "./downloads.js";
import { failedCard, photoCard, waitingCard } from "./card.js";
import { dropZone, onDrop, pasted } from "./files.js";
import { createQueue } from "./queue.js";
import { photoTable } from "./table.js";
import { t } from "./texts.js";
import { claimOf, headline } from "./words.js";

const FEW = 10; // photos that are judged again without asking when a choice changes

/** Build the view into `section`. `cameras()` are those of the chosen bundle, `goCompare(item)` opens the other view. */
export function createIdentify({ section, engine, choices, cameras, goCompare }) {
  const items = [];
  const view = { open: null, count: 0, waiting: null };
  const table = photoTable({ open: (item) => show(item, true), remove, cameras });
  const queue = createQueue({ atOnce: engine.atOnce ?? 1, work, changed });
  const place = {
    progress: progressBar(() => queue.cancel()),
    tools: el("div", { class: "tools" }),
    table: el("div"),
    card: el("div", { id: "card", tabindex: "-1" }),
  };
  const { zone } = dropZone({ title: t("drop.title"), hint: t("drop.hint"), folders: true, take: add });
  fill(
    section,
    el("div", { class: "hero" }, el("h1", {}, t("identify.title")), el("p", { class: "lead" }, t("identify.lead"))),
    zone,
    choices.element,
    Object.values(place),
  );
  onDrop(section, add);
  document.addEventListener("paste", (event) => !section.hidden && add(pasted(event)));

  function work(item, options) {
    item.settings = choices.now();
    item.tamper = null; // it belongs to a bundle
    return engine.inspect(item.file, { ...item.settings, ...options });
  }

  function add(found) {
    if (!found.length) return announce(t("added.none"));
    const added = found.map((one) => ({ ...one, id: ++view.count, url: URL.createObjectURL(one.file), settings: choices.now() }));
    items.push(...added);
    section.classList.add("used");
    announce(t("added", { count: added.length }));
    queue.add(added);
    show(view.open && items.length > added.length ? view.open : added[0]);
  }

  function changed(item) {
    drawProgress();
    if (!item) return drawTools();
    if (!items.includes(item)) return; // it was removed while it was judged
    table.update(item, item === view.open);
    if (item === view.open) drawCard();
    if (item.state === "done") tell(item);
    if (item.state === "failed") announce(explain(item.error).title);
  }

  function tell(item) {
    if (items.length > FEW && items.some(isLeft)) return; // each of hundreds would be chatter
    const { verdict } = item.result;
    const done = items.filter(({ state }) => state === "done").length;
    const words =
      items.length === 1 ? `${headline(verdict)} ${claimOf(verdict).words}` : t("progress.done", { done, total: items.length });
    announce(words);
  }

  function show(item, moved = false) {
    const before = view.open;
    view.open = item;
    for (const one of new Set([before, item])) if (one && items.includes(one)) table.update(one, one === item);
    fill(place.table, items.length > 1 && table.element);
    drawTools();
    drawCard();
    if (moved) (place.card.focus({ preventScroll: true }), place.card.scrollIntoView({ block: "start" }));
  }

  function drawCard() {
    const item = view.open;
    const waits = item && isLeft(item);
    if (waits && view.waiting?.item === item) return view.waiting.update();
    view.waiting = waits ? { item, ...waitingCard(item, (one) => queue.cancel([one])) } : null;
    const focused = place.card.contains(document.activeElement);
    if (waits) fill(place.card, view.waiting.element);
    else if (item?.state === "failed")
      fill(
        place.card,
        failedCard(item, (one) => queue.add([one])),
      );
    else fill(place.card, item && photoCard({ engine, item, cameras: cameras(), actions: { compare: goCompare, remove } }));
    if (focused) place.card.focus({ preventScroll: true }); // what was focused is gone
    return undefined;
  }

  function drawProgress() {
    const left = items.filter(isLeft).length;
    place.progress.hidden = !left || items.length === 1;
    const done = items.length - left;
    const [words, bar] = place.progress.children;
    fill(words, t("progress.done", { done, total: items.length }));
    bar.max = items.length;
    bar.value = done;
  }

  function drawTools() {
    const verdicts = table
      .sorted()
      .filter(({ state }) => state === "done")
      .map(({ result }) => result.verdict);
    const { mode, bundle } = choices.now();
    const focused = place.tools.contains(document.activeElement) ? document.activeElement.textContent : null;
    const old = items.filter(({ state, settings }) => state === "done" && (settings.mode !== mode || settings.bundle !== bundle));
    fill(
      place.tools,
      old.length > FEW && button(t("action.judge-again", { count: old.length }), () => queue.add(old), { drawn: "again" }),
      items.length > 1 &&
        verdicts.length > 0 &&
        button(t("action.csv"), () => save("camtrace.csv", toCsv(verdicts), "text/csv"), { kind: "quiet", drawn: "down" }),
      items.length > 1 &&
        verdicts.length > 0 &&
        button(t("action.json.all"), () => save("camtrace.json", toJson(verdicts), "application/json"), {
          kind: "quiet",
          drawn: "down",
        }),
      items.length > 1 && button(t("action.clear"), clear, { kind: "quiet", drawn: "close" }),
    );
    [...place.tools.children].find((one) => one.textContent === focused)?.focus();
  }

  function remove(item) {
    queue.cancel([item]);
    item.tamper?.controller.abort(new DOMException("", "AbortError"));
    URL.revokeObjectURL(item.url);
    table.drop(item);
    items.splice(items.indexOf(item), 1);
    announce(t("removed"));
    section.classList.toggle("used", items.length > 0);
    drawProgress();
    show(item === view.open ? (table.sorted()[0] ?? null) : view.open);
    (items.length ? place.card : section.querySelector("input[type=file]")).focus(); // what was focused is gone
  }

  function clear() {
    queue.cancel();
    for (const item of [...items]) remove(item);
  }

  /** Another mode or bundle was chosen: few photos are judged again at once, many when asked. */
  function choicesChanged() {
    const judged = items.filter(({ state }) => state === "done" || state === "failed");
    if (judged.length <= FEW) queue.add(judged);
    drawTools();
  }

  return { choicesChanged };
}

/** Whether a photo is still to be judged. */
function isLeft({ state }) {
  return state === "waiting" || state === "working";
}

/** How many photos are judged, and the way to cancel the others. */
function progressBar(cancel) {
  const stop = button(t("action.cancel.all"), cancel, { kind: "quiet", drawn: "close" });
  return el("div", { class: "progress", hidden: true }, el("span"), el("progress", { "aria-label": t("progress.title") }), stop);
}

/** One photo: the answer in words first, then what it stands on, then everything else that is known of the file. */

import { announce, button, el, fill, icon, named, shown } from "./dom.js";
import { save, stem, toJson } from "./downloads.js";
import { explain } from "./errors.js";
import { patchLegend, photoFrame } from "./overlay.js";
import { overlayControls } from "./tamper.js";
import { fileSize, percent, t } from "./texts.js";
import { claimOf, headline, meaning, probabilityOf, shares, strength } from "./words.js";

const TURNED = /^[2-8]$/;

/** The card of an item that was judged. `actions`: {compare(item), remove(item)}, what the page can do with it. */
export function photoCard({ engine, item, cameras, actions }) {
  const inspection = item.result;
  const { verdict } = inspection;
  const parts = verdict.status === "ok" ? [figureOf({ engine, item }), evidence(inspection, cameras)] : [plainFigure(item)];
  return el(
    "article",
    { class: "card", "aria-labelledby": `answer-${item.id}` },
    answer(item, verdict),
    el("div", { class: "columns" }, parts),
    el("div", { class: "facts" }, why(verdict), historyOf(inspection, item), exifOf(inspection), fileOf(item, verdict)),
    buttons({ engine, item, actions }),
  );
}

/** The card of an item that failed. */
export function failedCard(item, again) {
  const { title, detail } = explain(item.error);
  return el(
    "article",
    { class: "card", "aria-labelledby": `answer-${item.id}` },
    el("p", { class: "eyebrow" }, named(item.path)),
    el("h2", { id: `answer-${item.id}` }, title),
    detail && el("p", { class: "detail" }, shown(detail)),
    el(
      "p",
      { class: "actions" },
      button(t("action.again"), () => again(item), { drawn: "again" }),
    ),
  );
}

/** The card of an item that waits or is being judged, and a function that brings it up to date. */
export function waitingCard(item, cancel) {
  const title = el("h2", { id: `answer-${item.id}` });
  const note = el("p", { class: "hint" });
  const bar = el("progress", { "aria-label": t("state.working") });
  const update = () => {
    fill(title, t(`state.${item.state}`));
    fill(note, item.note ?? "");
    if (item.sent !== null && item.sent < 1) bar.value = item.sent;
    else bar.removeAttribute("value"); // from then on nobody knows how long it takes
  };
  const stop = button(t("action.cancel"), () => cancel(item), { kind: "quiet", drawn: "close" });
  update();
  const element = el(
    "article",
    { class: "card", "aria-labelledby": `answer-${item.id}` },
    el("p", { class: "eyebrow" }, named(item.path)),
    title,
    bar,
    note,
    el("p", { class: "actions" }, stop),
  );
  return { element, update };
}

function answer(item, verdict) {
  const claim = claimOf(verdict);
  const drawn = { agrees: "equal", disagrees: "unequal", nothing: "nothing" }[claim.kind];
  return el(
    "header",
    { class: "answer" },
    el("p", { class: "eyebrow" }, named(item.path)),
    el("h2", { id: `answer-${item.id}` }, headline(verdict)),
    el("p", { class: `claim ${claim.kind}` }, icon(drawn), el("span", {}, shown(claim.words))),
    claim.more && el("p", { class: "hint" }, claim.more),
    el("p", { class: `meaning ${verdict.status === "ok" ? "hint" : "detail"}` }, shown(meaning(verdict))),
  );
}

function figureOf({ engine, item }) {
  const inspection = item.result;
  const frame = photoFrame({ url: item.url, inspection });
  const { controls, below, note } = overlayControls({ engine, item, frame, legend: () => patchLegend(inspection) });
  const turned = TURNED.test(inspection.exif.Orientation ?? "") ? el("p", { class: "hint" }, t("photo.turned")) : null;
  return el("figure", {}, frame.frame, el("figcaption", {}, controls, below, turned, note));
}

function plainFigure(item) {
  const photo = el("img", { src: item.url, alt: t("photo.alt"), class: "plain" });
  photo.addEventListener("error", () => photo.remove());
  return el("figure", {}, photo);
}

function evidence(inspection, cameras) {
  const { verdict } = inspection;
  const calibrated = verdict.ranking[0].probability !== null;
  const own = probabilityOf(verdict, cameras);
  const words = strength(verdict);
  const grouped = verdict.answer_level === "family" || verdict.answer_level === "maker";
  return el(
    "section",
    { class: "evidence" },
    el("h3", {}, t(calibrated ? "ranking.title" : "ranking.title.votes")),
    grouped && own !== null && el("p", {}, t("ranking.together", { answer: verdict.answer, probability: percent(own) })),
    el(
      "ol",
      { class: "shares" },
      shares(verdict).map((line, place) => shareLine(line, place === 0)),
    ),
    words && el("p", {}, words),
    el("p", { class: "hint" }, t(calibrated ? "ranking.prior" : "ranking.uncalibrated")),
    el("details", {}, el("summary", {}, t("levels.title")), ["model", "family", "maker", "unknown"].map(levelLine)),
  );
}

function shareLine(line, first) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span", { class: "bar-fill" }));
  bar.firstChild.style.inlineSize = `${Math.max(line.share * 100, line.share > 0 ? 0.6 : 0)}%`;
  return el(
    "li",
    { class: [first ? "first" : "", line.camera ? "" : "others"].join(" ").trim() },
    el("span", { class: "share-name" }, shown(line.name)),
    el("span", { class: "share-words" }, line.words),
    bar,
    line.more && el("span", { class: "share-more" }, line.more),
  );
}

function levelLine(level) {
  return el("p", {}, el("strong", {}, t(`level.${level}.name`)), " ", t(`level.${level}`));
}

function why(verdict) {
  if (verdict.status !== "ok") return null;
  return el("section", {}, el("h3", {}, t("why.title")), el("p", {}, shown(verdict.reason)));
}

function historyOf({ history, verdict }, item) {
  if (verdict.status !== "ok") return null;
  const words = [...(item.pasted ? [t("photo.pasted")] : []), ...history.map(shown)];
  const told = words.length
    ? el(
        "ul",
        {},
        words.map((word) => el("li", {}, word)),
      )
    : el("p", {}, t("history.none"));
  return el("section", {}, el("h3", {}, t("history.title")), told);
}

function exifOf({ exif }) {
  const facts = Object.entries(exif);
  const rows = facts.flatMap(([name, value]) => [el("dt", {}, exifName(name)), el("dd", {}, el("bdi", {}, shown(value)))]);
  const told = facts.length ? [el("dl", {}, rows), el("p", { class: "hint" }, t("exif.no-proof"))] : el("p", {}, t("exif.none"));
  return el("section", {}, el("h3", {}, t("exif.title")), told);
}

function exifName(name) {
  return shown(name).replace(/([a-z\d])([A-Z])/g, "$1 $2");
}

function fileOf(item, verdict) {
  const hash = verdict.sha256;
  const copied = (event) => copy(hash, event.currentTarget);
  const rows = [
    [t("file.name"), named(item.path)],
    [t("file.size"), fileSize(item.file.size)],
    item.result.width && [t("file.pixels"), `${item.result.width} × ${item.result.height}`],
    hash && [
      "SHA-256",
      [el("code", { class: "hash" }, hash), button(t("action.copy"), copied, { kind: "quiet small", drawn: "copy" })],
    ],
    [t("file.bundle"), t("file.bundle.words", { ...verdict.bundle })],
    [t("file.mode"), t(`mode.${item.settings.mode}`)],
  ].filter(Boolean);
  const list = rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("section", {}, el("h3", {}, t("file.title")), el("dl", {}, list));
}

async function copy(text, from) {
  const words = from.querySelector("span");
  try {
    await navigator.clipboard.writeText(text);
    words.textContent = t("action.copied");
  } catch {
    words.textContent = t("action.not-copied"); // no permission, or no secure connection
  }
  announce(words.textContent);
  setTimeout(() => (words.textContent = t("action.copy")), 2000);
}

function buttons({ engine, item, actions }) {
  const name = stem(item.file.name);
  const said = el("p", { class: "hint", role: "status" });
  const report = (format) => () => fetchReport({ engine, item, format, name, said });
  const json = () => save(`${name}.verdict.json`, toJson([item.result.verdict]), "application/json");
  const reports = engine.can.report && item.result.verdict.status === "ok";
  return el(
    "footer",
    { class: "card-foot" },
    el(
      "p",
      { class: "actions" },
      reports && button(t("action.report.html"), report("html"), { drawn: "down" }),
      reports && button(t("action.report.pdf"), report("pdf"), { kind: "quiet", drawn: "down" }),
      button(t("action.json"), json, { kind: "quiet", drawn: "down" }),
      engine.can.compare && button(t("action.compare"), () => actions.compare(item), { kind: "quiet", drawn: "pair" }),
      button(t("action.remove"), () => actions.remove(item), { kind: "quiet", drawn: "close" }),
    ),
    !engine.can.report && el("p", { class: "hint" }, t("report.needs-service")),
    said,
  );
}

async function fetchReport({ engine, item, format, name, said }) {
  fill(said, t("report.working"));
  try {
    const report = await engine.report(item.file, { ...item.settings, format });
    save(`${name}.report.${format}`, report);
    fill(said, t("report.done"));
  } catch (error) {
    const { title, detail } = explain(error);
    fill(said, [title, detail].filter(Boolean).join(" "));
  }
}

/** A verdict in words: the answer first, what the EXIF says beside it, how strong the evidence is. No elements here. */

import { list, number, percent, t } from "./texts.js";

const SURE = 0.95;

/** The answer as a sentence. */
export function headline(verdict) {
  if (verdict.status !== "ok") return t(`status.${verdict.status}`);
  if (verdict.answer_level === "unknown") return t("answer.unknown");
  return t(`answer.${verdict.answer_level}.${sureness(verdict)}`, { camera: verdict.answer });
}

/** What the level of the answer means, in a paragraph. */
export function meaning(verdict) {
  return verdict.status === "ok" ? t(`level.${verdict.answer_level}`) : verdict.reason;
}

/** The claim of the EXIF beside the answer: {kind: agrees | disagrees | nothing, words, more}. */
export function claimOf(verdict) {
  const claim = [verdict.claim.make, verdict.claim.model].filter(Boolean).join(" ");
  if (!claim) return { kind: "nothing", short: t("claim.none.short"), words: t("claim.none"), more: null };
  if (verdict.claim_agrees === true) return agreeing(verdict, claim);
  if (verdict.claim_agrees === false) {
    return {
      kind: "disagrees",
      short: t("claim.disagrees.short"),
      words: t("claim.disagrees", { claim }),
      more: t("claim.disagrees.more"),
    };
  }
  const more = verdict.status !== "ok" ? null : t(verdict.answer_level === "unknown" ? "claim.unknown.more" : "claim.unnamed.more");
  return { kind: "nothing", short: t("claim.open.short"), words: t("claim.open", { claim }), more };
}

/** The probability of the answer itself: of the model, or of its family or maker together; null where there is none. */
export function probabilityOf(verdict, cameras = []) {
  if (verdict.status !== "ok" || !verdict.ranking.length || verdict.ranking[0].probability === null) return null;
  if (verdict.answer_level === "model" || verdict.answer_level === "unknown") return verdict.ranking[0].probability;
  const members = membersOf(verdict, cameras);
  const chances = verdict.ranking.filter((line) => members.has(line.camera)).map((line) => line.probability);
  return chances.length
    ? Math.min(
        1,
        chances.reduce((sum, chance) => sum + chance, 0),
      )
    : null;
}

/** How much likelier the evidence is from the best camera than from another, in words; null where that is not calibrated. */
export function strength(verdict) {
  if (verdict.log10_lr === null || verdict.best === null) return null;
  const ratio = 10 ** Math.abs(verdict.log10_lr);
  const times = number(ratio, ratio < 10 ? 1 : 0);
  return t(verdict.log10_lr >= 0 ? "strength.for" : "strength.against", { times, camera: verdict.best });
}

/** The lines of the ranking to draw: the best few, the other known cameras together, and all the cameras not known. */
export function shares(verdict, shownLines = 4) {
  const first = verdict.ranking.slice(0, shownLines);
  if (!first.length) return [];
  if (first[0].probability === null) {
    return first.map((line) => ({
      name: line.camera,
      share: line.votes / verdict.n_patches,
      words: votes(line, verdict),
      camera: true,
    }));
  }
  const lines = first.map((line) => ({
    name: line.camera,
    share: line.probability,
    words: percent(line.probability),
    more: votes(line, verdict),
    camera: true,
  }));
  const sum = (part) => part.reduce((total, line) => total + line.probability, 0);
  const others = verdict.ranking.slice(shownLines);
  if (others.length) lines.push(together("ranking.others", others.length, sum(others)));
  return [...lines, together("ranking.foreign", others.length, Math.max(0, 1 - sum(verdict.ranking)))];
}

/** How many patches vote for whom, in one sentence; what people hear instead of seeing the patches. */
export function voting(inspection) {
  const counts = new Map();
  for (const { camera } of inspection.patches) counts.set(camera, (counts.get(camera) ?? 0) + 1);
  const lines = [...counts].sort((one, other) => other[1] - one[1]).map(([camera, count]) => t("patches.vote", { camera, count }));
  return t("patches.alt", { count: inspection.patches.length, votes: list(lines) });
}

function sureness(verdict) {
  const first = verdict.ranking[0].probability;
  if (first === null) return "uncalibrated";
  if (verdict.answer_level !== "model") return "probable";
  return first >= SURE ? "sure" : first >= 0.5 ? "probable" : "guess";
}

function agreeing(verdict, claim) {
  const words = t(`claim.agrees.${verdict.answer_level}`, { claim });
  return { kind: "agrees", short: t("claim.agrees.short"), words, more: t("claim.agrees.more") };
}

function together(key, count, share) {
  return { name: t(key, { count }), share, words: percent(share), camera: false };
}

function votes(line, verdict) {
  return t("ranking.votes", { count: line.votes, total: verdict.n_patches });
}

/** The cameras that a family or maker stands for. A family is written "Maker A, B or C", each without the maker but the first. */
function membersOf({ answer, answer_level: level, ranking }, cameras) {
  if (level === "maker") return new Set(cameras.filter((camera) => camera.make === answer).map((camera) => camera.name));
  const parts = answer.split(/, | or /);
  const maker = parts[0].split(" ")[0];
  const wanted = new Set(parts.flatMap((part) => [part, `${maker} ${part}`]));
  const found = ranking.map((line) => line.camera).filter((camera) => wanted.has(camera));
  return new Set(found.length === parts.length ? found : []);
}

/** Verdicts as files, as the command line writes them: JSON as it came, CSV with the same columns. */

import { el } from "./dom.js";

const FIELDS = [
  ...["source", "sha256", "status", "answer", "answer_level", "best", "best_votes", "n_patches", "probability", "log10_lr"],
  ...["claim_make", "claim_model", "claim_agrees", "reason", "bundle_name", "bundle_version"],
];

/** Offer a file for download. */
export function save(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // a download may begin late
}

/** Verdicts as JSON: one as an object, several as a list. */
export function toJson(verdicts) {
  return JSON.stringify(verdicts.length === 1 ? verdicts[0] : verdicts, null, 2) + "\n";
}

/** Verdicts as CSV, one row each. Text that a spreadsheet would run as a formula gets an apostrophe in front. */
export function toCsv(verdicts) {
  const rows = verdicts.map((verdict) => {
    const row = csvRow(verdict);
    return FIELDS.map((field) => cell(row[field]));
  });
  return [FIELDS, ...rows].map((row) => row.join(",") + "\n").join("");
}

/** The name of a photo's file without its ending, plain enough for a new file's name. */
export function stem(name) {
  return (
    name
      .replace(/\.[^.]*$/, "")
      .replace(/[^\p{L}\p{N} ._-]/gu, "_")
      .slice(0, 80) || "photo"
  );
}

function csvRow(verdict) {
  const first = verdict.ranking[0];
  return {
    ...verdict,
    best_votes: first?.votes,
    probability: first?.probability,
    claim_make: verdict.claim.make,
    claim_model: verdict.claim.model,
    bundle_name: verdict.bundle.name,
    bundle_version: verdict.bundle.version,
  };
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

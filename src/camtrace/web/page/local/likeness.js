// Two photos -> how much likelier they are if one camera model took both than if two did (camtrace.likeness).

import { extract } from "./bundle.js";
import { limitOf, log10Ratio, meanFeatures, readComparison } from "./comparison.js";
import { historyWords } from "./history.js";
import { look } from "./identification.js";
import { round, significant } from "./words.js";

const SCHEMA_VERSION = 1;
/** The largest likelihood ratio, or one over it, that each word of ENFSI's scale stands for. */
export const SCALE = [
  [2, "no"], [10, "weak"], [100, "moderate"], [1000, "moderately strong"], [10_000, "strong"], [1_000_000, "very strong"],
  [Infinity, "extremely strong"],
];
const MISSING = "this bundle holds no comparison (the tensors comparison_* in references.safetensors), so it cannot compare photos";

/** The result for the bytes of two files, the same JSON as `camtrace compare --to json`. */
export async function compare(core, files) {
  const { bundle } = core;
  const comparison = readComparison(bundle.tensors, "comparison_");
  const looked = [];
  for (const { name, data } of files) looked.push(await lookAt(core, data, name));
  const photos = looked.map(({ source, sha256, status, n_patches }) => ({ source, sha256, status, n_patches }));
  const calibrated_on = comparison && { photos: comparison.photos, cameras: comparison.cameras };
  const head = { schema_version: SCHEMA_VERSION, photos, status: "ok", log10_lr: null, words: null };
  const result = { ...head, reason: "", calibrated_on, bundle: bundle.id };
  const failed = looked.filter(({ status }) => status !== "ok");
  if (failed.length) {
    return { ...result, status: failed[0].status, reason: [...new Set(failed.flatMap(({ remarks }) => remarks))].join("; ") };
  }
  const remarks = looked.flatMap((photo, index) => photo.remarks.map((remark) => `${["first", "second"][index]} photo: ${remark}`));
  if (!comparison) return { ...result, reason: [missing(bundle.id), ...remarks].join("; ") };
  const log10_lr = round(log10Ratio(comparison, looked[0].mean, looked[1].mean), 3) + 0;
  const why = explain(log10_lr, comparison);
  if (photos[0].sha256 === photos[1].sha256) why.push("both are one and the same file");
  return { ...result, log10_lr, words: inWords(log10_lr), reason: [...why, ...remarks].join("; ") };
}

async function lookAt(core, data, name) {
  const { photo, history, patches, error } = await look(core, data, name);
  if (error) {
    const sha256 = photo?.sha256 ?? error.sha256;
    return { source: name, sha256, status: error.status, n_patches: 0, remarks: [error.message], mean: null };
  }
  const mean = meanFeatures(await extract(core.bundle, patches));
  const remarks = historyWords(history);
  return { source: name, sha256: photo.sha256, status: "ok", n_patches: patches.positions.length, remarks, mean };
}

const missing = ({ name, version }) => `${name} ${version}: ${MISSING}; one enrolled from a bundle that holds one has it too`;

function explain(log10_lr, comparison) {
  const [likelier, other] = log10_lr >= 0 ? ["one camera model", "two"] : ["two camera models", "one"];
  const most = Math.abs(log10_lr) >= round(limitOf(comparison), 3) ? ", the most that the calibration supports" : "";
  return [
    `such features are ${significant(10 ** Math.abs(log10_lr))} times as likely from ${likelier} as from ${other}${most}`,
    `calibrated on ${comparison.photos} photos of ${comparison.cameras} cameras that had not taught it`,
  ];
}

/** A likelihood ratio on ENFSI's scale; one at a border of two words gets the weaker. */
export function inWords(log10_lr) {
  const [, strength] = SCALE.find(([largest]) => Math.abs(log10_lr) <= Math.log10(largest));
  if (strength === SCALE[0][1]) return "supports neither one camera model nor two";
  return `${strength} support for ${log10_lr > 0 ? "one camera model" : "two different camera models"}`;
}

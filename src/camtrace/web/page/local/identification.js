// The main path: photo -> patches -> features -> votes -> verdict (camtrace.identification).

import { called, castVotes, extract, nearnessOf } from "./bundle.js";
import { cutPatches, examine, historyWords } from "./history.js";
import { decodePhoto, PhotoError } from "./photo.js";
import { decide, UNKNOWN } from "./vote.js";

const SCHEMA_VERSION = 1;

/** The verdict on the bytes of a file, the same JSON as `camtrace identify --to json`, and what led to it. */
export async function gather(core, data, { name, mode = "balanced" }) {
  const { bundle, decodeJpeg } = core;
  const looked = await look(core, data, name);
  if (looked.error) return { verdict: notJudged(looked, name, bundle), photo: null };
  const { photo, history, patches } = looked;
  const features = await extract(bundle, patches);
  const votes = await castVotes(bundle, features);
  const { vote: way, thresholds, calibration } = bundle.manifest;
  const nearness = nearnessOf(bundle, features);
  const decision = decide(votes, bundle.groups, { way, threshold: thresholds[way], mode, calibration, nearness });
  return { verdict: verdictOf(core, photo, history, decision, patches), photo, history, patches, votes };
}

/** A photo, its history and its patches; or, with the error, as far as they go. */
export async function look({ bundle, decodeJpeg }, data, name) {
  const { rule, patch_count: count, patch_size: size } = bundle.manifest;
  let photo = null;
  try {
    photo = await decodePhoto(data, name, decodeJpeg);
    const history = examine(photo);
    return { photo, history, patches: cutPatches(photo, history, { rule, count, size }) };
  } catch (error) {
    if (!(error instanceof PhotoError)) throw error;
    return { photo, error };
  }
}

function verdictOf({ bundle, agrees }, photo, history, decision, patches) {
  const { answer, level } = decision;
  return {
    schema_version: SCHEMA_VERSION,
    source: photo.source,
    sha256: photo.sha256,
    status: "ok",
    answer,
    answer_level: level,
    best: decision.best,
    reason: [decision.reason, ...historyWords(history)].join("; "),
    ranking: decision.ranking,
    n_patches: patches.positions.length,
    log10_lr: decision.log10_lr,
    claim: photo.claim,
    claim_agrees: agrees(photo.claim, answer, level, called(bundle, answer, level)),
    bundle: bundle.id,
  };
}

function notJudged({ photo, error }, name, bundle) {
  return {
    schema_version: SCHEMA_VERSION,
    source: name,
    sha256: photo?.sha256 ?? error.sha256,
    status: error.status,
    answer: UNKNOWN,
    answer_level: UNKNOWN,
    best: null,
    reason: error.message,
    ranking: [],
    n_patches: 0,
    log10_lr: null,
    claim: photo?.claim ?? { make: null, model: null },
    claim_agrees: null,
    bundle: bundle.id,
  };
}

// Votes -> what the photo says: a ranking of cameras, and whether the evidence is enough to name one (camtrace.vote).
//
// Votes are {labels, scores, count, cameras}: scores one row a patch.

import { log10Ratio, probabilities } from "./calibration.js";
import { percent, round } from "./words.js";

export const UNKNOWN = "unknown";
const NAMING = ["model", "family", "maker"];
const MEANING = { majority: "share of the votes", summed: "mean score of its patches" };

/** Rank the cameras and say what the evidence carries: {answer, level, best, reason, ranking, log10_lr}. */
export function decide(votes, groups, { way, threshold, mode, calibration, nearness }) {
  const cameras = groups.model;
  const evidence = weigh(votes, way);
  const counts = count(votes);
  const mean = weigh(votes, "summed");
  const order = cameras.map((_, index) => index);
  order.sort((one, other) => evidence[other] - evidence[one] || counts[other] - counts[one] || mean[other] - mean[one]);
  const best = order[0];
  const voting = `${counts[best]} of ${votes.count} patches vote for ${cameras[best]}`;
  if (!calibration) {
    const enough = evidence[best] >= threshold;
    const known = enough || mode === "guess";
    const reason =
      `${voting}; ranked by ${MEANING[way]}, it reaches ${evidence[best].toFixed(3)}, ` +
      `${enough ? "at or above" : "below"} the ${threshold.toFixed(3)} needed to name a camera`;
    const [answer, level] = known ? [cameras[best], "model"] : [UNKNOWN, UNKNOWN];
    const ranking = order.map((index) => ({ camera: cameras[index], probability: null, votes: counts[index] }));
    return { answer, level, best: cameras[best], reason, ranking, log10_lr: null };
  }
  const chances = probabilities(calibration, evidence, votes.count, nearness);
  const { answer, level, why } = name(chances, best, groups, calibration.modes[mode], mode);
  const behind = `calibrated on ${calibration.photos} photos of known cameras and ${calibration.foreign} of others`;
  return {
    answer,
    level,
    best: cameras[best],
    reason: `${voting}; ${why}; ${behind}`,
    ranking: order.map((index) => ({ camera: cameras[index], probability: round(chances[index], 6), votes: counts[index] })),
    log10_lr: round(log10Ratio(calibration, chances[best], cameras.length), 3),
  };
}

/** The finest of model, family and maker that is probable enough, and why. */
function name(chances, best, groups, needed, mode) {
  const said = [];
  for (const level of NAMING) {
    const answer = groups[level][best];
    const members = groups[level].flatMap((other, index) => (other === answer ? [index] : []));
    if (level === "family" && members.length === 1) continue;
    const chance = members.reduce((sum, index) => sum + chances[index], 0);
    const enough = chance >= needed[level];
    const side = `${enough ? "at or above" : "below"} the ${percent(needed[level])} needed in ${mode} mode`;
    said.push(`the ${level} ${answer} has a probability of ${percent(chance)}, ${side}`);
    if (enough) return { answer, level, why: said.join("; ") };
  }
  return { answer: UNKNOWN, level: UNKNOWN, why: said.join("; ") };
}

/** Evidence of the whole photo for every camera: its share of the votes, or its mean score. */
export function weigh(votes, way) {
  if (way === "majority") return count(votes).map((number) => number / votes.count);
  const sums = Array(votes.cameras).fill(0);
  votes.scores.forEach((score, index) => (sums[index % votes.cameras] += score));
  return sums.map((sum) => sum / votes.count);
}

function count({ labels, cameras }) {
  const counts = Array(cameras).fill(0);
  for (const label of labels) counts[label] += 1;
  return counts;
}

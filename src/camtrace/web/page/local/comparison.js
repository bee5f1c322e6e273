// Two photos, by their mean features: likelihood ratios of one camera model against two (camtrace.comparison).

import { clip } from "./calibration.js";

/** Features, one row a patch -> their mean. */
export function meanFeatures({ data, dimension }) {
  const sums = new Float64Array(dimension);
  data.forEach((value, index) => (sums[index % dimension] += value));
  return sums.map((sum) => (sum * dimension) / data.length);
}

/** A comparison of the tensors whose names begin with `prefix`, null where there is none. */
export function readComparison(tensors, prefix) {
  if (!(`${prefix}mean` in tensors)) return null;
  const [slope, offset, photos, cameras] = tensors[`${prefix}line`].data;
  const part = (name) => tensors[prefix + name].data;
  return { mean: part("mean"), directions: part("directions"), between: part("between"), slope, offset, photos, cameras };
}

/** The natural log likelihood ratio of two mean features as the model has it. */
export function rawRatio(comparison, first, second) {
  const [one, two] = [project(comparison, first), project(comparison, second)];
  let ratio = 0;
  comparison.between.forEach((between, direction) => {
    const total = between + 1;
    const determinant = total ** 2 - between ** 2;
    const alone = (-0.5 * between ** 2) / (total * determinant);
    ratio -= 0.5 * Math.log(determinant / total ** 2);
    ratio += one[direction] * (between / determinant) * two[direction];
    ratio += alone * (one[direction] ** 2 + two[direction] ** 2);
  });
  return ratio;
}

/** The calibrated log10 likelihood ratio, cut off at what the photos support. */
export function log10Ratio(comparison, first, second) {
  const raw = rawRatio(comparison, first, second);
  const limit = limitOf(comparison);
  return clip((comparison.slope * raw + comparison.offset) / Math.LN10, -limit, limit);
}

/** The largest log10 likelihood ratio that so many photos can support. */
export const limitOf = (comparison) => Math.log10(Math.max(1, comparison.photos));

/** The largest raw ratio between a photo and the centres of the cameras; a camera without untouched photos has none. */
export function nearness(comparison, centres, mean) {
  const dimension = mean.length;
  const rows = Array.from({ length: centres.length / dimension }, (_, row) => centres.subarray(row * dimension, (row + 1) * dimension));
  return Math.max(...rows.map((centre) => rawRatio(comparison, mean, centre)).filter((ratio) => !Number.isNaN(ratio)));
}

function project({ mean, directions, between }, features) {
  const projected = new Float64Array(between.length);
  for (let row = 0; row < mean.length; row++) {
    const lead = features[row] - mean[row];
    const weights = directions.subarray(row * between.length, (row + 1) * between.length);
    weights.forEach((weight, direction) => (projected[direction] += lead * weight));
  }
  return projected;
}

// Evidence of a whole photo -> probabilities and a likelihood ratio (camtrace.calibration).

const PRIOR_KNOWN = 0.5;

/** Evidence of a photo for each camera -> probabilities; their sum falls short of 1 by the unknown. */
export function probabilities(calibration, evidence, patches, nearness) {
  const weighed = evidence.map((value) => value * (patches / (patches + calibration.half)));
  const [first, second] = weighed.toSorted((one, other) => other - one);
  const [near, ahead] = calibration.weights;
  const known = calibration.bias + (nearness ?? first) * near + (first - second) * ahead;
  const powers = weighed.map((value) => Math.exp(calibration.scale * (value - first)));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const lapse = calibration.lapse ?? 0; // older bundles have none
  return powers.map((power) => ((1 - lapse) * (power / total) + lapse / evidence.length) / (1 + Math.exp(-known)));
}

/** log10 of P(evidence | this camera) / P(evidence | another camera), cut off at what the calibration photos support. */
export function log10Ratio(calibration, probability, cameras) {
  const prior = PRIOR_KNOWN / cameras;
  const sure = clip(probability, 1e-12, 1 - 1e-12);
  const limit = Math.log10(Math.max(1, Math.min(calibration.photos, calibration.foreign)));
  return clip(Math.log10(sure / (1 - sure)) - Math.log10(prior / (1 - prior)), -limit, limit);
}

export const clip = (value, low, high) => Math.min(Math.max(value, low), high);

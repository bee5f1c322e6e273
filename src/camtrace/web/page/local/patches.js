// Photo -> patches: which 64x64 pieces of a photo are asked (camtrace.patches).

import { PhotoError } from "./photo.js";

/** Cut the `count` best patches: [{row, column}], best first, and their pixels one after the other. Throws PhotoError. */
export function selectPatches(photo, { rule, count, size, origin }) {
  const [height, width] = [photo.height - origin.row, photo.width - origin.column];
  if (height < size || width < size) {
    const behind = origin.row || origin.column ? ` behind row ${origin.row}, column ${origin.column}` : "";
    throw new PhotoError(`${photo.source}: ${width}x${height} pixels${behind}, expected at least ${size}x${size}`, "too_small");
  }
  const cells = gather(photo, size, origin);
  const scores = cells.map((cell) => RULES[rule](cell, size * size));
  const usable = cells.map((_, index) => index).filter((index) => Number.isFinite(scores[index]));
  if (!usable.length) throw new PhotoError(`${photo.source}: all ${cells.length} patches are saturated; a photo that is not all burnt out or black is needed`, "no_usable_patches");
  const best = usable.sort((one, other) => scores[other] - scores[one]).slice(0, count);
  const positions = best.map((index) => ({ row: cells[index].row, column: cells[index].column }));
  return { positions, pixels: cut(photo, positions, size) };
}

/** The scores of a patch by the name of the rule; -Infinity excludes it. */
export const RULES = {
  /** The paper's text: no saturated sample, then the mean closest to half the dynamic range. */
  "mid-tone": ({ sums, brightest }, samples) => {
    const mean = (sums[0] + sums[1] + sums[2]) / (3 * samples);
    return brightest < 255 ? -Math.abs(mean - 127.5) : -Infinity;
  },
  /** The rule used with the authors' released weights: mid-tones and texture, no saturation test. */
  quality: ({ sums, squares }, samples) => {
    const means = sums.map((sum) => sum / (255 * samples));
    const deviations = squares.map((sum, channel) => Math.sqrt(Math.max(sum / (255 * 255 * samples) - means[channel] ** 2, 0)));
    const midTones = average(means.map((mean) => 4 * mean - 4 * mean * mean));
    const texture = average(deviations.map((deviation) => 1 - 10 ** (-2 * deviation)));
    return 0.7 * midTones + 0.3 * texture;
  },
};

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Place, sums, sums of squares and brightest sample of every patch of the grid. */
function gather(photo, size, origin) {
  const cells = [];
  for (let row = origin.row; row + size <= photo.height; row += size) {
    for (let column = origin.column; column + size <= photo.width; column += size) cells.push(measure(photo, row, column, size));
  }
  return cells;
}

function measure({ pixels, width }, row, column, size) {
  let [red, green, blue, red2, green2, blue2, brightest] = [0, 0, 0, 0, 0, 0, 0];
  for (let line = row; line < row + size; line++) {
    const begin = 3 * (line * width + column);
    for (let at = begin; at < begin + 3 * size; at += 3) {
      const [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
      red += r, green += g, blue += b;
      red2 += r * r, green2 += g * g, blue2 += b * b;
      if (r > brightest) brightest = r;
      if (g > brightest) brightest = g;
      if (b > brightest) brightest = b;
    }
  }
  return { row, column, sums: [red, green, blue], squares: [red2, green2, blue2], brightest };
}

function cut({ pixels, width }, positions, size) {
  const patches = new Uint8Array(positions.length * size * size * 3);
  let at = 0;
  for (const { row, column } of positions) {
    for (let line = row; line < row + size; line++, at += 3 * size) {
      const begin = 3 * (line * width + column);
      patches.set(pixels.subarray(begin, begin + 3 * size), at);
    }
  }
  return patches;
}

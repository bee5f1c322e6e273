// What happened to a photo after the camera: its JPEG grid, the tables that saved it, its program (camtrace.history).
//
// The reasons for every number stand in history.py; a test compares the numbers.

import { selectPatches } from "./patches.js";

export const BLOCK = 8;
export const SMALLEST = 64;
export const WINDOW = 256;
export const WINDOWS = 3;
export const NEEDED = 0.07;
export const NEEDED_CHROMA = 0.06;
export const PROGRAMS_UP_TO = 92;
export const EDITORS = [
  ..."photoshop lightroom adobe gimp picasa snapseed instagram vsco picsart photoscape polarr canva".split(" "),
  ...["capture one", "darktable", "rawtherapee", "dxo", "affinity", "pixelmator", "luminar", "skylum", "acdsee", "paintshop", "corel"],
  ...["irfanview", "xnview", "faststone", "imagemagick", "graphicsmagick", "paint\\.net", "digikam", "aperture", "iphoto"],
  ...["windows photo (viewer|editor|gallery)", "microsoft windows photo", "windows live photo", "(microsoft|google) photos"],
  "photos [0-9]",
];
const EDITED = new RegExp(`(?<![\\p{L}\\p{N}_])(${EDITORS.join("|")})`, "u");

export const NEAR_ZERO = 0.6;
export const NEAR_ZERO_CHROMA = 0.3;
export const RIVALS = [[1, 0], [7, 0], [0, 1], [0, 7], [4, 0], [0, 4]];
const LUMA = [0.299, 0.587, 0.114];
const CHROMA = [[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]; // JFIF's Cb and Cr

// ITU-T T.81, tables K.1 and K.2
const LUMA_STEPS = [
  ...[16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62],
  ...[18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101],
  ...[72, 92, 95, 98, 112, 100, 103, 99],
];
const CHROMA_STEPS = [
  ...[17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99],
  ...Array(32).fill(99),
];

/** The orthonormal DCT of eight samples: [frequency * 8 + sample]. */
const COSINES = Float64Array.from({ length: 64 }, (_, index) => {
  const [frequency, sample] = [index >> 3, index & 7];
  return (Math.cos(((2 * sample + 1) * frequency * Math.PI) / 16) / 2) * (frequency ? 1 : Math.SQRT1_2);
});

/** Look for traces: {grid, cropped, lastQuality, onceJpeg, noGrid, software}; a grid is {row, column, certainty, period}. */
export function examine(photo) {
  const grid = findGrid(photo);
  const isJpeg = photo.quantization !== null;
  return {
    grid,
    cropped: grid !== null && (grid.row !== 0 || grid.column !== 0),
    lastQuality: standardQuality(photo.quantization ?? {}),
    onceJpeg: grid !== null && !isJpeg,
    noGrid: grid === null && !isJpeg && Math.min(photo.width, photo.height) >= SMALLEST,
    software: photo.software,
  };
}

/** What of a history is worth a word in a verdict's reason. */
export function historyWords({ grid, cropped, lastQuality, noGrid, software }) {
  const words = [];
  if (grid && cropped) {
    words.push(`its JPEG grid starts at row ${grid.row}, column ${grid.column}: it was cropped or turned after it was saved as a JPEG`);
  }
  if (noGrid) words.push("no JPEG grid: it was resized or filtered, or never was a JPEG");
  if (lastQuality !== null && lastQuality <= PROGRAMS_UP_TO) {
    words.push(`saved with the standard tables at quality ${lastQuality}, as editors and messengers do and few cameras`);
  }
  if (software && EDITED.test(software.toLowerCase())) words.push(`edited with ${software}, as its EXIF says`);
  return words;
}

/** `selectPatches` on the photo's own JPEG grid. */
export function cutPatches(photo, { grid }, { rule, count, size }) {
  const fits = grid && photo.height - grid.row >= size && photo.width - grid.column >= size;
  return selectPatches(photo, { rule, count, size, origin: fits ? grid : { row: 0, column: 0 } });
}

/** The JPEG grid in the pixels, the clearest where there are several, or null. */
export function findGrid(photo) {
  if (Math.min(photo.width, photo.height) < SMALLEST) return null;
  for (const { row, column } of busiestWindows(photo).slice(0, WINDOWS)) {
    const grid = gridOf(photo, row, column);
    if (grid) return grid; // windows begin at multiples of 16: the grid of the window is that of the photo
  }
  return null;
}

/** The quality 1..100 at which libjpeg writes exactly these tables (luma is number 0, all others chroma), else null. */
export function standardQuality(tables) {
  const chroma = Object.entries(tables).filter(([number]) => number !== "0").map(([, steps]) => steps.join());
  if (!(0 in tables) || new Set(chroma).size !== 1) return null;
  for (let quality = 1; quality <= 100; quality++) {
    if (tables[0].join() === scaled(LUMA_STEPS, quality) && chroma[0] === scaled(CHROMA_STEPS, quality)) return quality;
  }
  return null;
}

/** Steps as libjpeg scales them (jcparam.c), kept to one byte; joined by commas. */
function scaled(steps, quality) {
  const percent = quality < 50 ? Math.floor(5000 / quality) : 200 - 2 * quality;
  return steps.map((step) => Math.min(Math.max(Math.floor((step * percent + 50) / 100), 1), 255)).join();
}

/** Corners of up to 16 windows, those with the most detail first. */
function busiestWindows(photo) {
  const corners = starts(photo.height).flatMap((row) => starts(photo.width).map((column) => ({ row, column })));
  for (const corner of corners) corner.detail = detail(photo, corner.row, corner.column);
  return corners.sort((one, other) => other.detail - one.detail);
}

function starts(side) {
  const all = [0, 1, 2, 3].map((part) => Math.floor(Math.floor((Math.max(side - WINDOW, 0) * part) / 3) / 16) * 16);
  return [...new Set(all)];
}

/** Mean step of green from pixel to pixel in every eighth line; a hard edge counts no more than a fine texture. */
function detail({ pixels, width, height }, row, column) {
  const [bottom, right] = [Math.min(row + WINDOW, height), Math.min(column + WINDOW, width)];
  let [sum, count] = [0, 0];
  for (let line = row; line < bottom; line += 8) {
    for (let at = column + 1; at < right; at++, count++) {
      const place = 3 * (line * width + at) + 1;
      sum += Math.min(Math.abs(pixels[place] - pixels[place - 3]), 16);
    }
  }
  return sum / count;
}

/** Ask the first pixel of a window, where most grids start, and only then all 64 places, roughly. */
function gridOf(photo, top, left) {
  const luma = weighted(photo, top, left, LUMA);
  const found = { row: 0, column: 0, certainty: certainty(luma, 0, 0) };
  if (found.certainty < NEEDED) {
    const every = luma.data.length > 128 * 128 ? 2 : 1;
    const rough = Array.from({ length: 64 }, (_, place) => nearZero(luma, place >> 3, place & 7, { every }));
    const best = rough.indexOf(Math.max(...rough));
    Object.assign(found, { row: best >> 3, column: best & 7, certainty: certainty(luma, best >> 3, best & 7) });
  }
  return found.certainty >= NEEDED ? withChroma(photo, top, left, found) : null;
}

/** A plane {width, height, data}: the three channels of the window as one. */
function weighted(photo, top, left, [red, green, blue]) {
  const [width, height] = [Math.min(WINDOW, photo.width - left), Math.min(WINDOW, photo.height - top)];
  const data = new Float32Array(width * height);
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0, from = 3 * ((top + row) * photo.width + left); column < width; column++, from += 3) {
      data[to++] = photo.pixels[from] * red + photo.pixels[from + 1] * green + photo.pixels[from + 2] * blue;
    }
  }
  return { width, height, data };
}

function certainty(luma, row, column) {
  const rivals = RIVALS.map(([down, across]) => nearZero(luma, (row + down) % BLOCK, (column + across) % BLOCK));
  return lead(nearZero(luma, row, column), Math.max(...rivals));
}

/** How far one share is above another, in deviations of what is counted. */
const lead = (share, rival) => (share - rival) / Math.sqrt(Math.max(rival * (1 - rival), 1e-4));

/** Share of the coefficients u + v >= `lowest` that are below `limit`, of blocks that start at (row, column), or of every other one. */
function nearZero(plane, row, column, { lowest = 3, limit = NEAR_ZERO, every = 1 } = {}) {
  const coefficients = new Float64Array(64);
  const [down, across] = [(plane.height - row) >> 3, (plane.width - column) >> 3];
  let [near, all] = [0, 0];
  for (let block = 0; block < down; block += every) {
    for (let other = 0; other < across; other += every) {
      transform(plane, row + 8 * block, column + 8 * other, coefficients);
      for (let place = 0; place < 64; place++) {
        if ((place >> 3) + (place & 7) < lowest) continue;
        all += 1;
        if (Math.abs(coefficients[place]) < limit) near += 1;
      }
    }
  }
  return near / all;
}

const ROWS = new Float64Array(64);

/** The DCT of one block of a plane: first along its lines, then down. */
function transform({ data, width }, row, column, coefficients) {
  for (let line = 0; line < 8; line++) {
    const begin = (row + line) * width + column;
    for (let frequency = 0; frequency < 8; frequency++) {
      let sum = 0;
      for (let sample = 0; sample < 8; sample++) sum += COSINES[frequency * 8 + sample] * data[begin + sample];
      ROWS[frequency * 8 + line] = sum;
    }
  }
  for (let down = 0; down < 8; down++) {
    for (let across = 0; across < 8; across++) {
      let sum = 0;
      for (let line = 0; line < 8; line++) sum += COSINES[down * 8 + line] * ROWS[across * 8 + line];
      coefficients[down * 8 + across] = sum;
    }
  }
}

/** The grid with its period of 16 down and across, where the blocks of halved chroma are there and not too few. */
function withChroma(photo, top, left, grid) {
  const size = Math.min(WINDOW, photo.width - left, photo.height - top);
  if (size < WINDOW / 2) return { ...grid, period: [BLOCK, BLOCK] };
  const [first, second] = CHROMA.map((weights) => chromaShares(photo, top, left, grid, weights));
  const shares = first.map((line, row) => line.map((share, column) => (share + second[row][column]) / 2));
  const [down, downPeriod] = halved(shares.map((line) => Math.max(...line)));
  const [across, acrossPeriod] = halved([0, 1].map((column) => Math.max(shares[0][column], shares[1][column])));
  return { ...grid, row: grid.row + down, column: grid.column + across, period: [downPeriod, acrossPeriod] };
}

/** What to add to a start that is known modulo 8, and the period: from the shares of the two starts modulo 16. */
function halved([first, second]) {
  if (lead(Math.max(first, second), Math.min(first, second)) < NEEDED_CHROMA) return [0, BLOCK];
  return [second > first ? BLOCK : 0, 2 * BLOCK];
}

/** Near-zero shares of one halved chroma plane, its blocks starting 0 or 8 pixels below and right of the grid's. */
function chromaShares(photo, top, left, grid, weights) {
  const chroma = halve(weighted(photo, top, left, weights), grid.row % 2, grid.column % 2);
  const [rows, columns] = [grid.row, grid.column].map((start) => [0, BLOCK / 2].map((later) => ((start >> 1) + later) % BLOCK));
  const share = (row, column) => nearZero(chroma, row, column, { lowest: 2, limit: NEAR_ZERO_CHROMA });
  return rows.map((row) => columns.map((column) => share(row, column)));
}

/** Undo the decoder's doubling of chroma, from (row, column) on: means of 2x2 pixels, then its triangle filter's blur (1 6 1) / 8. */
function halve(plane, row, column) {
  const [width, height] = [(plane.width - column) >> 1, (plane.height - row) >> 1];
  const data = new Float32Array(width * height);
  for (let line = 0, to = 0; line < height; line++) {
    for (let across = 0, from = (row + 2 * line) * plane.width + column; across < width; across++, from += 2) {
      const below = from + plane.width;
      data[to++] = (plane.data[from] + plane.data[from + 1] + plane.data[below] + plane.data[below + 1]) / 4;
    }
  }
  const inner = (at, before, after) => data[at] - (data[after] - 2 * data[at] + data[before]) / 8;
  const sharpened = data.map((value, at) => (at < width || at >= data.length - width ? value : inner(at, at - width, at + width)));
  data.set(sharpened);
  const both = data.map((value, at) => (at % width === 0 || at % width === width - 1 ? value : inner(at, at - 1, at + 1)));
  return { width, height, data: both };
}

// The facts of an EXIF block (CIPA DC-008), as text, named and written as Python's camtrace.inspection gives them.

import { float, tidy, visible } from "./words.js";

const POINTER_EXIF = 0x8769;
const POINTER_GPS = 0x8825;
const LONGEST = 200; // of a fact and of a claim, in characters
const NAMES = new Map([
  [0x010f, "Make"], [0x0110, "Model"], [0x0131, "Software"], [0x0132, "DateTime"], [0x9003, "DateTimeOriginal"],
  [0x9004, "DateTimeDigitized"], [0x013b, "Artist"], [0x8298, "Copyright"], [0x010e, "ImageDescription"], [0xa433, "LensMake"],
  [0xa434, "LensModel"], [0xa431, "BodySerialNumber"], [0x829a, "ExposureTime"], [0x829d, "FNumber"], [0x8827, "ISOSpeedRatings"],
  [0x920a, "FocalLength"], [0xa405, "FocalLengthIn35mmFilm"], [0x9209, "Flash"], [0xa403, "WhiteBalance"],
  [0xa404, "DigitalZoomRatio"], [0x0112, "Orientation"], [0xa002, "ExifImageWidth"], [0xa003, "ExifImageHeight"],
]);
const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4 };

/** Make, model and program as the EXIF's first directory has them, padding gone; null where there is none. */
export function readClaim(data) {
  const tags = directory(data).tags;
  const shown = (value) => visible(tidy(value.replaceAll("\0", " ")), LONGEST) || null;
  const text = (tag) => (typeof tags.get(tag) === "string" ? shown(tags.get(tag)) : null);
  return { make: text(0x010f), model: text(0x0110), software: text(0x0131) };
}

/** The facts that people want to read, by their names in the standard; a position is only said to be there. */
export function readFacts(data) {
  const first = directory(data);
  const second = typeof first.tags.get(POINTER_EXIF) === "number" ? directory(data, first.tags.get(POINTER_EXIF)).tags : new Map();
  const facts = {};
  for (const [tag, name] of NAMES) {
    const value = second.get(tag) ?? first.tags.get(tag);
    if (value !== undefined) facts[name] = printable(value);
  }
  if (first.tags.has(POINTER_GPS)) facts.GPSInfo = "present";
  return facts;
}

/** The tags of the directory at an offset, of the first one without; what is damaged is left out. */
function directory(data, offset) {
  const tags = new Map();
  if (!data || data.length < 8) return { tags };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = data[0] === 0x49;
  const at = offset ?? view.getUint32(4, little);
  const count = at + 2 <= data.length ? view.getUint16(at, little) : 0;
  for (let entry = at + 2; entry < at + 2 + 12 * count && entry + 12 <= data.length; entry += 12) {
    const value = readValue(view, entry, little);
    if (value !== undefined) tags.set(view.getUint16(entry, little), value);
  }
  return { tags };
}

function readValue(view, entry, little) {
  const [type, count] = [view.getUint16(entry + 2, little), view.getUint32(entry + 4, little)];
  const length = (SIZES[type] ?? Infinity) * count;
  const at = length <= 4 ? entry + 8 : view.getUint32(entry + 8, little);
  if (at + length > view.byteLength) return undefined;
  const data = new Uint8Array(view.buffer, view.byteOffset + at, length);
  if (type === 2) return String.fromCharCode(...data.subarray(0, 4096)).replace(/\0$/, "");
  if (type === 1 || type === 7) return new TextDecoder().decode(data);
  if (count > 64) return undefined; // no fact has as many numbers
  const values = Array.from({ length: count }, (_, index) => number(view, type, at + index * SIZES[type], little));
  return values.length === 1 ? values[0] : values;
}

function number(view, type, at, little) {
  if (type === 3) return view.getUint16(at, little);
  if (type === 4 || type === 13) return view.getUint32(at, little);
  if (type === 5) return ratio(view.getUint32(at, little), view.getUint32(at + 4, little));
  if (type === 6) return view.getInt8(at);
  if (type === 8) return view.getInt16(at, little);
  if (type === 9) return view.getInt32(at, little);
  if (type === 10) return ratio(view.getInt32(at, little), view.getInt32(at + 4, little));
  return { text: float(type === 11 ? view.getFloat32(at, little) : view.getFloat64(at, little)) };
}

const ratio = (numerator, denominator) => ({ text: float(denominator ? numerator / denominator : NaN) });

function printable(value) {
  const kept = written(value).replace(/[\p{C}\p{Z}]/gu, (letter) => (letter === " " ? letter : "")).trim();
  return kept.length <= LONGEST ? kept : `${kept.slice(0, LONGEST)}...`;
}

const written = (value) => (Array.isArray(value) ? `(${value.map(written).join(", ")})` : value.text ?? String(value));

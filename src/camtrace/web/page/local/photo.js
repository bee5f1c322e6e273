// Bytes of a file -> photo: the pixels as the camera stored them, and what the file says about itself (camtrace.photo).
//
// A photo is {source, sha256, width, height, pixels, claim, software, quantization, exif}; a pixel is three bytes, red, green, blue.

import * as jpeg from "./jpeg.js";
import * as png from "./png.js";
import { readClaim } from "./exif.js";
import { bytes, hex, visible } from "./words.js";

export const MAX_PIXELS = 300_000_000;
const PIXELS_A_BYTE = 2048; // of a JPEG at most: camtrace.screening
const FORMATS = "JPEG, PNG, TIFF, WebP or HEIC";
const GREY = { GRAY: "greyscale", L: "greyscale", 1: "black-and-white", P: "palette", LA: "greyscale" };

/** A photo that cannot be judged; `status` says which kind of failure it is, `sha256` is that of its file. */
export class PhotoError extends Error {
  constructor(message, status = "unreadable") {
    super(message);
    this.status = status;
    this.sha256 = null;
  }
}

/** Decode the bytes of a file; `decodeJpeg` is what `jpeg.createDecoder` made. Throws PhotoError. */
export async function decodePhoto(data, name, decodeJpeg) {
  const sha256 = await digest(data);
  const shown = visible(name);
  try {
    if (!data.length) throw new PhotoError(`${shown}: the file is empty, expected ${FORMATS}`);
    const read = jpeg.isJpeg(data) ? readJpeg : readOther;
    return { source: name, sha256, ...(await read(data, shown, decodeJpeg)) };
  } catch (error) {
    throw Object.assign(error instanceof PhotoError ? error : new PhotoError(`${shown}: ${inMemory(error)}`), { sha256 });
  }
}

/** The SHA-256 of bytes, in hexadecimal digits. */
export async function digest(data) {
  return hex(...new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
}

/** What to do about a damaged file. */
const AGAIN = "get the file again from where it came";

async function readJpeg(data, name, decodeJpeg) {
  const header = jpeg.readHeader(data);
  checkSize(header, name);
  if (header.colours) checkColours(header.colours, name);
  if (data.length * PIXELS_A_BYTE < header.width * header.height) {
    const promise = `${data.length} bytes cannot hold the ${header.width}x${header.height} pixels that its header promises`;
    throw new PhotoError(`${name}: damaged JPEG, or one made to do harm: ${promise}; ${AGAIN}`);
  }
  const image = await attempt(() => decodeJpeg(data), `${name}: damaged JPEG`);
  const quantization = Object.keys(header.tables).length ? header.tables : null;
  return { ...image, ...claimed(header.exif), quantization };
}

async function readOther(data, name) {
  if (!png.isPng(data)) throw new PhotoError(notRead(data, name));
  const header = await attempt(() => png.readHeader(data), `${name}: damaged file`);
  checkSize(header, name);
  if (header.frames !== 1) throw new PhotoError(`${name}: PNG with ${header.frames} frames, expected a single photo`);
  checkColours(header.colours, name);
  const { opaque, ...image } = await attempt(() => png.decode(header), `${name}: damaged PNG`);
  if (!opaque) throw new PhotoError(`${name}: partly transparent image, expected an opaque photo`);
  return { ...image, ...claimed(header.exif), quantization: null };
}

function claimed(exif) {
  try {
    const { make, model, software } = readClaim(exif);
    return { claim: { make, model }, software, exif };
  } catch {
    return { claim: { make: null, model: null }, software: null, exif: null };
  }
}

async function attempt(step, message) {
  try {
    return await step();
  } catch (error) {
    throw new PhotoError(`${message}: ${inMemory(error)}`);
  }
}

/** What an error says; a browser without memory for a large photo says it in words of its own. */
const inMemory = (error) => (error instanceof RangeError ? "too large for the memory of this browser" : `${error.message ?? error}; ${AGAIN}`);

function notRead(data, name) {
  const text = String.fromCharCode(...data.subarray(0, 12));
  const known = { "II*\0": "TIFF", "MM\0*": "TIFF", "RIFF": "WebP" }[text.slice(0, 4)] ?? (text.slice(4, 8) === "ftyp" ? "HEIC" : null);
  if (known) return `${name}: ${known} photo, which this page does not read; it reads JPEG and PNG, the program camtrace ${known} too`;
  return `${name}: not a photo (the file starts with ${bytes(data.subarray(0, 8))}), expected ${FORMATS}`;
}

function checkSize({ width, height }, name) {
  if (width * height > MAX_PIXELS) {
    throw new PhotoError(`${name}: ${width}x${height} pixels, at most ${MAX_PIXELS / 1e6} megapixels are read`);
  }
}

/** Refuse what no camera wrote in colour. */
function checkColours(colours, name) {
  if (["RGB", "RGBA", "YCbCr"].includes(colours)) return;
  const found = GREY[colours] ?? (colours.startsWith("I") ? "16-bit greyscale" : colours);
  throw new PhotoError(`${name}: ${found} image, expected an RGB colour photo: the colour traces of a camera are not in it`);
}

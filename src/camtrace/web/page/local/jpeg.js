// JPEG files: what their header says, and their pixels, decoded by libjpeg-turbo compiled to WebAssembly.
//
// The decoder is the one that Python's camtrace uses (simplejpeg), at the same settings: accurate DCT, triangle filter for chroma.
// Its pixels are the same bit for bit. A canvas is not used: it applies colour profiles and turns photos.

const START_OF_SCAN = 0xda;
const QUANTISATION = 0xdb;
const EXIF = 0xe1;
const ADOBE = 0xee;
const END = 0xd9;
const NO_FRAMES = new Set([0xc4, 0xc8, 0xcc]); // markers among C0..CF that begin no frame

// where coefficient k of a table in the file stands in natural order
const ZIGZAG = zigzag();

/** True where the bytes begin as a JPEG does. */
export const isJpeg = (data) => data[0] === 0xff && data[1] === 0xd8 && data[2] === 0xff;

/** Width, height, colours, quantisation tables by number (64 steps, natural order) and the EXIF's bytes of a file's first image. */
export function readHeader(data) {
  const header = { width: null, height: null, colours: null, tables: {}, exif: null };
  const frame = { components: 0, adobe: null };
  for (const { marker, body } of segments(data)) {
    if (marker === QUANTISATION) readTables(body, header.tables);
    else if (marker === EXIF && startsWith(body, "Exif\0\0")) header.exif = join(header.exif, body.subarray(6));
    else if (marker === ADOBE && startsWith(body, "Adobe")) frame.adobe = body[11];
    else if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.has(marker) && body.length >= 6) {
      [header.height, header.width, frame.components] = [body[1] * 256 + body[2], body[3] * 256 + body[4], body[5]];
    }
  }
  header.colours = { 1: "GRAY", 3: "YCbCr", 4: frame.adobe === 2 ? "YCCK" : "CMYK" }[frame.components] ?? null;
  return header;
}

/** A function that decodes bytes to {width, height, pixels}, made of the vendored decoder; it throws what Python's says. */
export function createDecoder(factory, wasm) {
  let codec = null;
  return async (data) => {
    codec ??= await factory({ wasmBinary: wasm, print: () => {}, printErr: () => {} });
    const decoder = new codec.JPEGDecoder();
    try {
      decoder.getEncodedBuffer(data.length).set(data);
      decoder.decode();
      const { width, height } = decoder.getFrameInfo();
      return { width, height, pixels: decoder.getDecodedBuffer().slice() };
    } catch (error) {
      const damage = typeof error === "number" ? damageOf(data, thrown(codec, error)) : null; // C++ throws addresses
      codec = null; // what a failure left behind goes with its memory
      throw damage ? new Error(damage) : error;
    } finally {
      if (codec) decoder.delete();
    }
  };
}

/** The text that C++ threw. */
function thrown(codec, address) {
  const begin = codec.HEAPU32[address >> 2];
  const end = codec.HEAPU8.indexOf(0, begin);
  return String.fromCharCode(...codec.HEAPU8.subarray(begin, Math.min(end, begin + 100)));
}

/** The decoder only says at which step it failed: what libjpeg says of the two usual kinds of damage. */
function damageOf(data, step) {
  if (step.includes("header")) return "tjDecompressHeader3(): Could not determine subsampling level of JPEG image";
  return hasEnd(data) ? "corrupt JPEG data" : "Premature end of JPEG file";
}

function hasEnd(data) {
  let begin = 2; // behind the header, whose EXIF may hold a small picture with an end of its own
  for (const segment of segments(data)) begin = segment.end;
  for (let at = data.length - 2; at >= begin; at--) if (data[at] === 0xff && data[at + 1] === END) return true;
  return false;
}

function* segments(data) {
  let at = 2;
  while (at + 4 <= data.length) {
    const marker = data[at + 1];
    if (data[at] !== 0xff || marker === 0 || marker === START_OF_SCAN || marker === END) return;
    if (marker === 0xff) at += 1;
    else if (marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else {
      const length = data[at + 2] * 256 + data[at + 3];
      at += 2 + length;
      yield { marker, body: data.subarray(at + 2 - length, at), end: at };
    }
  }
}

function readTables(body, tables) {
  for (let at = 0; at < body.length; ) {
    const wide = body[at] >> 4 ? 2 : 1;
    const steps = body.subarray(at + 1, at + 1 + 64 * wide);
    if (steps.length < 64 * wide) return;
    tables[body[at] & 15] = ZIGZAG.map((place) => (wide === 1 ? steps[place] : steps[2 * place] * 256 + steps[2 * place + 1]));
    at += 1 + 64 * wide;
  }
}

/** For each place of a table in natural order its number on the zigzag way. */
function zigzag() {
  const places = Array.from({ length: 64 }, (_, place) => place);
  const diagonal = (place) => (place >> 3) + (place & 7);
  const along = (place) => (diagonal(place) % 2 ? place >> 3 : place & 7);
  const way = places.toSorted((one, other) => diagonal(one) - diagonal(other) || along(one) - along(other));
  return places.map((place) => way.indexOf(place));
}

function startsWith(body, text) {
  return [...text].every((letter, index) => body[index] === letter.charCodeAt(0));
}

function join(first, second) {
  return first ? Uint8Array.from([...first, ...second]) : second;
}

// PNG files: what their header says, and their pixels (PNG specification, third edition). The platform unpacks; the rest is here.
//
// Samples are given as stored, of 16 bits the upper 8, without gamma or colour profile, as Pillow gives them to Python's camtrace.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const COLOURS = { 2: "RGB", 3: "P", 4: "LA", 6: "RGBA" };
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [[0, 0, 8, 8], [0, 4, 8, 8], [4, 0, 8, 4], [0, 2, 4, 4], [2, 0, 4, 2], [0, 1, 2, 2], [1, 0, 2, 1]]; // row, column, steps

/** True where the bytes begin as a PNG does. */
export const isPng = (data) => SIGNATURE.every((byte, index) => data[index] === byte);

/** Width, height, depth, colours by Pillow's name, frames, the EXIF's bytes and the packed pixels; throws where there is no header. */
export function readHeader(data) {
  const header = { width: 0, height: 0, depth: 0, type: null, colours: null, interlaced: false, frames: 1, exif: null, packed: [] };
  let controlled = false; // the animation's first frame is the picture itself
  for (const { name, body } of chunks(data)) {
    if (name === "IHDR") Object.assign(header, readSize(body));
    else if (name === "IDAT") header.packed.push(body);
    else if (name === "eXIf") header.exif = body;
    else if (name === "fcTL" && !header.packed.length) controlled = true;
    else if (name === "acTL" && !header.packed.length) header.frames = view(body).getUint32(0);
  }
  if (header.type === null) throw new Error("no header");
  if (header.frames > 1 && !controlled) header.frames += 1;
  return header;
}

/** The pixels of a PNG that is not grey, nor of a palette: {width, height, pixels, opaque}. Throws on damage. */
export async function decode(header) {
  const raw = await inflate(header.packed);
  const channels = CHANNELS[header.type];
  const image = { width: header.width, height: header.height, pixels: new Uint8Array(header.width * header.height * 3), opaque: true };
  const step = channels * (header.depth / 8);
  let at = 0;
  for (const [row, column, down, across] of header.interlaced ? ADAM7 : WHOLE) {
    const [lines, samples] = [Math.ceil((header.height - row) / down), Math.ceil((header.width - column) / across)];
    if (lines <= 0 || samples <= 0) continue;
    const length = samples * step;
    if (raw.length < at + lines * (length + 1)) throw new Error("image file is truncated");
    let above = new Uint8Array(length);
    for (let line = 0; line < lines; line++, at += length + 1) {
      const current = raw.subarray(at + 1, at + 1 + length);
      unfilter(raw[at], current, above, step);
      put(current, image, { step, depth: header.depth, channels, start: (row + line * down) * header.width + column, across });
      above = current;
    }
  }
  return image;
}

function* chunks(data) {
  const whole = view(data);
  for (let at = 8; at + 8 <= data.length; ) {
    const length = whole.getUint32(at);
    const name = String.fromCharCode(...data.subarray(at + 4, at + 8));
    if (name === "IEND") return;
    yield { name, body: data.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

function readSize(body) {
  const [depth, type] = [body[8], body[9]];
  const grey = depth === 1 ? "1" : depth === 16 ? "I;16" : "L";
  const interlaced = body[12] === 1;
  return { width: view(body).getUint32(0), height: view(body).getUint32(4), depth, type, colours: COLOURS[type] ?? grey, interlaced };
}

async function inflate(parts) {
  const unpacked = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Undo the filter of one line in place; the one above has been undone. */
function unfilter(kind, line, above, step) {
  if (kind > 4) throw new Error(`filter ${kind} is none of PNG's`);
  for (let index = 0; index < line.length && kind; index++) {
    const left = index < step ? 0 : line[index - step];
    const corner = index < step ? 0 : above[index - step];
    if (kind === 1) line[index] += left;
    else if (kind === 2) line[index] += above[index];
    else if (kind === 3) line[index] += (left + above[index]) >> 1;
    else line[index] += paeth(left, above[index], corner);
  }
}

function paeth(left, up, corner) {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** Copy the samples of one line to their pixels. */
function put(line, image, { step, depth, channels, start, across }) {
  const bytes = depth / 8;
  for (let from = 0, pixel = start; from < line.length; from += step, pixel += across) {
    for (let channel = 0; channel < 3; channel++) image.pixels[pixel * 3 + channel] = line[from + channel * bytes];
    if (channels === 4 && line[from + 3 * bytes] < 255) image.opaque = false;
  }
}

const view = (data) => new DataView(data.buffer, data.byteOffset, data.byteLength);

// Pixels are Python's, bit for bit.

import assert from "node:assert/strict";
import { test } from "node:test";

import { folders, load, photo, read, readJson } from "./setup.mjs";

const wanted = await readJson(new URL("pixels.json", folders.photos));
const { decodePhoto, digest } = await load("photo.js");
const { createDecoder } = await load("jpeg.js");
const codec = new URL("vendor/codec-libjpeg-turbo-8bit/libjpegturbowasm_decode", folders.page);
const decodeJpeg = createDecoder((await import(`${codec}.js`)).default, await read(new URL(`${codec}.wasm`)));

for (const [name, { width, height, sha256 }] of Object.entries(wanted)) {
  test(name, async () => {
    const { data } = await photo(name);
    const found = await decodePhoto(data, name, decodeJpeg);
    assert.deepEqual([found.width, found.height, await digest(found.pixels)], [width, height, sha256]);
  });
}

test("a damaged photo leaves the decoder usable", async () => {
  const [[name, { sha256 }]] = Object.entries(wanted);
  const { data } = await photo(name);
  await assert.rejects(decodePhoto(data.subarray(0, data.length / 2), name, decodeJpeg), /damaged JPEG: Premature end of JPEG file/);
  assert.equal(await digest((await decodePhoto(data, name, decodeJpeg)).pixels), sha256);
});

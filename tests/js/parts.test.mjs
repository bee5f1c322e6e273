// Parts of the engine against what Python says: names of cameras, numbers of the history, words.

import assert from "node:assert/strict";
import { test } from "node:test";

import { differences, folders, load, photo, read, readJson } from "./setup.mjs";

const wanted = await readJson(new URL("parts.json", folders.photos));

test("claims agree as Python says", async () => {
  const { createAgrees } = await load("claim.js");
  const agrees = createAgrees(JSON.parse(new TextDecoder().decode(await read(new URL("bundle/names.json", folders.page)))));
  for (const [make, model, answer, level, cameras, agreed] of wanted.claims) {
    assert.equal(agrees({ make, model }, answer, level, cameras), agreed, JSON.stringify([make, model, answer, level, cameras]));
  }
});

test("the history's numbers and programs are Python's", async () => {
  const history = await load("history.js");
  for (const [name, value] of Object.entries(wanted.history)) assert.deepEqual(history[name], value, name);
});

test("JPEG grids are found where Python finds them", async () => {
  const [{ findGrid }, { decodePhoto }] = [await load("history.js"), await load("photo.js")];
  for (const [name, grid] of Object.entries(wanted.grids)) {
    const found = findGrid(await decodePhoto((await photo(name)).data, name, null));
    assert.deepEqual(differences({ ...found, certainty: 0 }, { ...grid, certainty: 0 }), [], name);
    assert.ok(Math.abs((found?.certainty ?? 0) - (grid?.certainty ?? 0)) < 0.005, `${name}: ${found?.certainty} ${grid?.certainty}`);
  }
});

test("the scale of likelihood ratios is Python's", async () => {
  const { SCALE, inWords } = await load("likeness.js");
  assert.deepEqual(SCALE.map(([, word]) => word), wanted.scale.map(([, word]) => word));
  for (const [log10, words] of wanted.inWords) assert.equal(inWords(log10), words, String(log10));
});

test("standard tables are recognised", async () => {
  const { standardQuality } = await load("history.js");
  for (const [tables, quality] of wanted.tables) assert.equal(standardQuality(tables), quality);
});

test("numbers and texts are written as Python writes them", async () => {
  const words = await load("words.js");
  const { percent, significant, float, tidy } = words;
  const asked = { percent, significant, float, tidy, visible: (text) => words.visible(text, 50) };
  for (const [kind, write] of Object.entries(asked)) {
    for (const [value, text] of wanted.words[kind]) assert.equal(write(value), text, `${kind} ${value}`);
  }
  for (const [data, text] of wanted.words.bytes) assert.equal(words.bytes(Uint8Array.from(data)), text);
});

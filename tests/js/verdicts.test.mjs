// The engine of the static page gives Python's verdicts, field for field.

import assert from "node:assert/strict";
import { test } from "node:test";

import { differences, folders, loadEngine, photo, readJson } from "./setup.mjs";

const wanted = await readJson(new URL("verdicts.json", folders.photos));
const engine = await loadEngine();

for (const [name, modes] of Object.entries(wanted.inspected)) {
  test(`${name}: the verdict and what it rests on`, async () => {
    const file = await photo(name);
    for (const [mode, inspection] of Object.entries(modes)) {
      assert.deepEqual(differences(await engine.inspect([file], mode), inspection), [], mode);
    }
  });
}

test("identify gives the verdict alone, and balanced is what is asked without a mode", async () => {
  const [name, modes] = Object.entries(wanted.inspected)[0];
  assert.deepEqual(differences(await engine.identify([await photo(name)]), modes.balanced.verdict), []);
});

test("a file name that steers a terminal is shown as text in messages", async () => {
  const file = { name: wanted.hostile.source, data: new TextEncoder().encode("GIF89a") };
  const { reason, ...rest } = await engine.identify([file]);
  const { reason: theirs, ...others } = wanted.hostile;
  assert.deepEqual(rest, others);
  assert.equal(reason.split(": ")[0], theirs.split(": ")[0]);
});

test("two photos are compared as Python does", async () => {
  for (const [first, second, likeness] of wanted.compared) {
    assert.deepEqual(differences(await engine.compare([await photo(first), await photo(second)]), likeness), [], `${first} ${second}`);
  }
});

test("the cameras are those of `camtrace cameras --to json`", () => {
  assert.deepEqual(engine.cameras(), wanted.cameras);
});

test("a bundle without calibration, with the other rule and way of voting", async () => {
  const other = await loadEngine("other");
  for (const [name, modes] of Object.entries(wanted.other)) {
    for (const [mode, inspection] of Object.entries(modes)) {
      assert.deepEqual(differences(await other.inspect([await photo(name)], mode), inspection), [], `${name} ${mode}`);
    }
  }
});

test("a bundle without a comparison says so", async () => {
  const plain = await loadEngine("plain");
  const [first, second, likeness] = wanted.notCompared;
  assert.deepEqual(differences(await plain.compare([await photo(first), await photo(second)]), likeness), []);
});

test("a changed bundle is refused", async () => {
  await assert.rejects(loadEngine("changed"), /head\.onnx: changed since the bundle was made/);
});

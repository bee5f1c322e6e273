// The engine's questions to its worker: one at a time, given up, and after a failure.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { load } from "./setup.mjs";

const { createEngine } = await load("engine.js");

let workers;

/** A worker that remembers its questions; `answer` and `fail` are what a test lets it say. */
class FakeWorker {
  constructor() {
    this.questions = [];
    this.ended = false;
    workers.push(this);
  }
  postMessage(question) {
    this.questions.push(question);
    if (question.task === "cameras") queueMicrotask(() => this.answer("the cameras"));
  }
  terminate() {
    this.ended = true;
  }
  answer(result) {
    this.onmessage({ data: { id: this.questions.at(-1).id, result } });
  }
  fail(error) {
    this.onmessage({ data: { id: this.questions.at(-1).id, error } });
  }
}

beforeEach(() => {
  workers = [];
  Object.assign(globalThis, { Worker: FakeWorker, location: { href: "http://localhost/page/" } });
});

test("what it can do, and its cameras", async () => {
  const engine = await createEngine();
  assert.equal(engine.name, "local");
  assert.deepEqual(engine.can, { identify: true, inspect: true, compare: true, localize: false, enroll: false, report: false });
  assert.equal(await engine.cameras(), "the cameras");
});

test("questions wait for each other", async () => {
  const engine = await createEngine();
  const [first, second] = [engine.identify("one", { mode: "guess" }), engine.compare("one", "two")];
  const [worker] = workers;
  assert.deepEqual(worker.questions.slice(1).map(({ task, files, mode }) => [task, files, mode]), [["identify", ["one"], "guess"]]);
  worker.answer(1);
  assert.equal(await first, 1);
  assert.equal(worker.questions.at(-1).task, "compare");
  worker.fail("no memory");
  await assert.rejects(second, /no memory/);
  assert.equal(workers.length, 1);
});

test("giving up the running question ends the worker; the waiting one is asked of another", async () => {
  const engine = await createEngine();
  const stop = new AbortController();
  const [first, second] = [engine.inspect("one", { signal: stop.signal }), engine.inspect("two")];
  stop.abort();
  await assert.rejects(first, { name: "AbortError" });
  assert.ok(workers[0].ended);
  workers[1].answer(2);
  assert.equal(await second, 2);
});

test("giving up a waiting question leaves the running one alone", async () => {
  const engine = await createEngine();
  const stop = new AbortController();
  const [first, second] = [engine.inspect("one"), engine.inspect("two", { signal: stop.signal })];
  stop.abort();
  await assert.rejects(second, { name: "AbortError" });
  assert.ok(!workers[0].ended);
  workers[0].answer(1);
  assert.equal(await first, 1);
  assert.equal(workers[0].questions.length, 2);
  await assert.rejects(engine.inspect("three", { signal: stop.signal }), { name: "AbortError" });
});

test("a worker that breaks is replaced", async () => {
  const engine = await createEngine();
  const first = engine.inspect("one");
  workers[0].onerror({ message: "out of memory" });
  await assert.rejects(first, /out of memory/);
  const second = engine.inspect("two");
  workers[1].answer(2);
  assert.equal(await second, 2);
});

test("an unknown mode is refused", async () => {
  const engine = await createEngine();
  await assert.rejects(engine.identify("one", { mode: "sure" }), /mode sure is not one of careful, balanced, guess/);
});

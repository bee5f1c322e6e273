/** Photos that wait to be judged, a few at a time; each can be cancelled, and all of them. */

import { patiently } from "./errors.js";

/**
 * `work(item, {signal, onSent})` judges an item. While it is in the queue, item.state is "waiting", "working", "done" or
 * "failed" with item.error; `changed(item)` is called at each step.
 */
export function createQueue({ atOnce, work, changed }) {
  const waiting = [];
  const working = new Map(); // item -> its AbortController

  function add(items) {
    for (const item of items) {
      if (working.has(item) || waiting.includes(item)) continue;
      update(item, { state: "waiting", error: null, sent: null, note: null });
      waiting.push(item);
    }
    next();
  }

  function cancel(items = [...waiting, ...working.keys()]) {
    const cancelled = new DOMException("", "AbortError");
    for (const item of items) {
      const place = waiting.indexOf(item);
      if (place >= 0) {
        waiting.splice(place, 1);
        update(item, { state: "failed", error: cancelled });
      }
      working.get(item)?.abort(cancelled);
    }
  }

  function next() {
    while (waiting.length && working.size < atOnce) run(waiting.shift());
  }

  async function run(item) {
    const controller = new AbortController();
    working.set(item, controller);
    update(item, { state: "working" });
    const { signal } = controller;
    const onSent = (share) => update(item, { sent: share });
    try {
      const result = await patiently(() => work(item, { signal, onSent }), { signal, onWait: (note) => update(item, { note }) });
      update(item, { state: "done", result, error: null, note: null });
    } catch (error) {
      update(item, { state: "failed", error, note: null });
    } finally {
      working.delete(item);
      changed(null);
      next();
    }
  }

  function update(item, values) {
    Object.assign(item, values);
    changed(item);
  }

  return { add, cancel };
}

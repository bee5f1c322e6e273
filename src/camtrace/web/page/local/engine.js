// The engine without a server: everything is computed in this browser, and no photo leaves the computer. Twin of engine_http.js.

const MODES = ["careful", "balanced", "guess"];

/**
 * Start the engine. `base` is the page's folder; this file lies in its folder `local`.
 *
 * `identify(file, {mode, signal})` gives the verdict of `camtrace identify --to json`, `inspect` what it rests on as well,
 * `compare(first, second, {signal})` the result of `camtrace compare --to json`. A photo that cannot be judged is no error: the
 * verdict says so. Photos are judged one after the other. `signal` gives up: the promise is rejected with an AbortError.
 */
export async function createEngine({ base = new URL("../", import.meta.url) } = {}) {
  if (!globalThis.crypto?.subtle) throw new Error("this page must be opened by https, or on this computer: hashes need it");
  const ask = createQueue(() => new Worker(new URL("local/worker.js", new URL(base, location.href)), { type: "module" }));
  const cameras = await ask("cameras", []);
  keepOffline(new URL(base, location.href));
  return {
    name: "local",
    atOnce: 1,
    can: { identify: true, inspect: true, compare: true, localize: false, enroll: false, report: false },
    cameras: async () => cameras,
    identify: (file, options) => ask("identify", [file], options),
    inspect: (file, options) => ask("inspect", [file], options),
    compare: (first, second, options) => ask("compare", [first, second], options),
  };
}

/** A function that puts questions to a worker, one at a time; giving up the running one ends the worker, the next starts another. */
function createQueue(start) {
  let [worker, running, last] = [null, null, 0];
  const waiting = [];

  function next() {
    if (running || !waiting.length) return;
    running = waiting.shift();
    worker ??= listen(start());
    worker.postMessage(running.question);
  }

  function listen(started) {
    started.onmessage = ({ data: { id, result, error } }) => {
      if (id !== running?.id) return;
      if (error === undefined) running.resolve(result);
      else running.reject(new Error(error));
      finish();
    };
    started.onerror = (event) => {
      running?.reject(new Error(event.message || "the worker could not be started"));
      stop();
    };
    return started;
  }

  function finish() {
    running = null;
    next();
  }

  function stop() {
    worker.terminate();
    worker = null;
    finish();
  }

  function giveUp(job, reason) {
    job.reject(reason);
    if (job === running) stop();
    else if (waiting.includes(job)) waiting.splice(waiting.indexOf(job), 1);
  }

  return (task, files, { mode = "balanced", signal } = {}) =>
    new Promise((resolve, reject) => {
      if (!MODES.includes(mode)) throw new Error(`mode ${mode} is not one of ${MODES.join(", ")}`);
      signal?.throwIfAborted();
      const id = ++last;
      const job = { id, question: { id, task, files, mode }, resolve, reject };
      signal?.addEventListener("abort", () => giveUp(job, signal.reason), { once: true });
      waiting.push(job);
      next();
    });
}

/** Let the service worker that an exported page has keep its files; a page without one works as well. */
function keepOffline(base) {
  globalThis.navigator?.serviceWorker?.register(new URL("service-worker.js", base)).catch(() => {});
}

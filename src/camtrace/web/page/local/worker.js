// The engine's worker: it answers one question at a time, so that the page stays free. Messages: engine.js.

import { loadCore, TASKS } from "./core.js";

const core = loadCore(new URL("../", import.meta.url), read);
core.catch(() => {}); // the first question reports it

self.onmessage = async ({ data: { id, task, files, mode } }) => {
  try {
    const given = await Promise.all(files.map(readFile));
    self.postMessage({ id, result: await TASKS[task](await core, given, mode) });
  } catch (error) {
    self.postMessage({ id, error: error.message ?? String(error) });
  }
};

async function readFile(file) {
  return { name: file.name, data: new Uint8Array(await file.arrayBuffer()) };
}

async function read(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

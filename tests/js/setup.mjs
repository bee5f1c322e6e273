// What the tests of the static page's engine share: the engine of an exported page, run by node instead of a browser's worker.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** Where the test lies: `page` is the exported folder, `photos` the made photos and what Python says of them. */
export const folders = Object.fromEntries(
  ["page", "photos"].map((name) => [name, new URL(`${pathToFileURL(process.env[`CAMTRACE_TEST_${name.toUpperCase()}`])}/`)]),
);

// libjpeg-turbo's script is written for node's older modules as well as for browsers, and takes node by these
globalThis.require = createRequire(import.meta.url);
globalThis.__dirname = ".";

export const read = async (url) => new Uint8Array(await readFile(url));
export const readJson = async (url) => JSON.parse(await readFile(url, "utf8"));
export const load = (name) => import(new URL(`local/${name}`, folders.page));

/** A photo as the tasks of the engine want it. */
export const photo = async (name) => ({ name, data: await read(new URL(name, folders.photos)) });

/** The engine's core; `bundle` is a folder of the photos' folder that stands in for the page's own bundle. */
export async function loadEngine(bundle = null) {
  const { loadCore, TASKS } = await load("core.js");
  const instead = (url) => new URL(`${bundle}/${url.pathname.split("/").at(-1)}`, folders.photos);
  const core = await loadCore(folders.page, (url) => read(bundle && url.pathname.includes("/bundle/") ? instead(url) : url));
  return Object.fromEntries(Object.entries(TASKS).map(([name, task]) => [name, (...rest) => task(core, ...rest)]));
}

/** Where two JSON values differ: paths and values. Numbers may differ by 0.001, likelihood ratios by 0.01, numbers in texts by 0.1. */
export function differences(found, wanted, path = "$") {
  if (typeof found === "number" && typeof wanted === "number") {
    return Math.abs(found - wanted) > (path.endsWith("log10_lr") ? 1e-2 : 1e-3) ? [[path, found, wanted]] : [];
  }
  if (typeof found === "string" && typeof wanted === "string") return sameText(found, wanted) ? [] : [[path, found, wanted]];
  const simple = !found || !wanted || typeof found !== "object" || typeof wanted !== "object";
  if (simple) return found === wanted ? [] : [[path, found, wanted]];
  if (path.endsWith(".ranking")) [found, wanted] = [found, wanted].map(byCamera); // those that are as probable may change places
  const keys = new Set([...Object.keys(found), ...Object.keys(wanted)]);
  return [...keys].flatMap((key) => differences(found[key], wanted[key], `${path}.${key}`));
}

const byCamera = (ranking) => ranking.toSorted((one, other) => (one.camera < other.camera ? -1 : 1));

/** A percentage may end in another digit: sums of single precision differ by their order. */
function sameText(found, wanted) {
  const number = /(?<![\w.])\d+\.\d+(?!\w)/g;
  if (found.replace(number, "#") !== wanted.replace(number, "#")) return false;
  const [numbers, others] = [found, wanted].map((text) => (text.match(number) ?? []).map(Number));
  return numbers.every((value, index) => Math.abs(value - others[index]) <= 0.1 + 1e-9);
}

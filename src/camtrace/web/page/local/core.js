// Everything the engine needs, loaded once: runtime, decoder, bundle and names. It runs in a worker, and in node for the tests.

import { createAgrees } from "./claim.js";
import { loadBundle } from "./bundle.js";
import { gather } from "./identification.js";
import { inspect } from "./inspection.js";
import { createDecoder } from "./jpeg.js";
import { compare } from "./likeness.js";

const RUNTIME = "vendor/onnxruntime-web/";
const CODEC = "vendor/codec-libjpeg-turbo-8bit/libjpegturbowasm_decode";

/** Load from the page's folder `base`, an absolute URL that ends with a slash; `read(url)` gives the bytes of a file. */
export async function loadCore(base, read) {
  const file = (name) => read(new URL(name, base));
  const runtime = new URL(RUNTIME, base);
  const [ort, codec, wasm, codecWasm, names] = await Promise.all([
    import(new URL("ort.wasm.min.js", runtime)),
    import(new URL(`${CODEC}.js`, base)),
    file(`${RUNTIME}ort-wasm-simd-threaded.wasm`),
    file(`${CODEC}.wasm`),
    file("bundle/names.json"),
  ]);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.js", runtime).href };
  const bundle = await loadBundle((name) => file(`bundle/${name}`), ort);
  const agrees = createAgrees(JSON.parse(new TextDecoder().decode(names)));
  return { bundle, agrees, decodeJpeg: createDecoder(codec.default, codecWasm) };
}

/** What can be asked of a core; files are {name, data}. */
export const TASKS = {
  /** As `camtrace cameras --to json`. */
  cameras: ({ bundle }) => ({ bundle: bundle.id, cameras: bundle.manifest.cameras }),
  identify: async (core, [{ name, data }], mode) => (await gather(core, data, { name, mode })).verdict,
  inspect: (core, [{ name, data }], mode) => inspect(core, data, { name, mode }),
  compare: (core, files) => compare(core, files),
};

// A trained model is a folder, called a bundle: loaded, checked and run (camtrace.bundle).
//
// The folder of a static page holds, of references.safetensors, only what comparisons need: comparison.safetensors.

import { meanFeatures, nearness, readComparison } from "./comparison.js";
import { digest } from "./photo.js";

const FORMAT_VERSION = 3;
const TYPES = { F32: [Float32Array, 4], F64: [Float64Array, 8], I32: [Int32Array, 4] };

/** Load a bundle: `read` gives the bytes of a file of its folder, `ort` is onnxruntime-web. Throws in words where it cannot be used. */
export async function loadBundle(read, ort) {
  const manifest = JSON.parse(new TextDecoder().decode(await read("manifest.json")));
  if (manifest.format > FORMAT_VERSION) throw new Error(`bundle format ${manifest.format}, this page reads up to ${FORMAT_VERSION}`);
  const [features, head, comparison] = await Promise.all(
    ["features.onnx", "head.onnx", "comparison.safetensors"].map((name) => readChecked(read, name, manifest.files)),
  );
  const options = { executionProviders: ["wasm"] };
  const sessions = {
    features: await ort.InferenceSession.create(features, options),
    head: await ort.InferenceSession.create(head, options),
  };
  const id = { name: manifest.name, version: manifest.version };
  return { manifest, groups: groupsOf(manifest), sessions, ort, tensors: readTensors(comparison), id };
}

/** Patches -> features {data, dimension}, one row a patch. */
export async function extract({ manifest, sessions, ort }, patches) {
  const [count, size] = [patches.positions.length, manifest.patch_size];
  const { features } = await sessions.features.run({ patches: new ort.Tensor("uint8", patches.pixels, [count, size, size, 3]) });
  return { data: features.data, dimension: features.dims[1] };
}

/** Features -> the vote of each patch. */
export async function castVotes({ manifest, sessions, ort }, { data, dimension }) {
  const count = data.length / dimension;
  const { labels, scores } = await sessions.head.run({ features: new ort.Tensor("float32", data, [count, dimension]) });
  return { labels: Array.from(labels.data, Number), scores: scores.data, count, cameras: manifest.cameras.length };
}

/** How near a photo lies to the nearest camera, null if the bundle cannot compare. */
export function nearnessOf({ tensors }, features) {
  const neighbours = readComparison(tensors, "nearness_");
  return neighbours && nearness(neighbours, tensors.centres.data, meanFeatures(features));
}

/** The cameras that an answer stands for. */
export function called({ manifest, groups }, answer, level) {
  return manifest.cameras.map(({ name }) => name).filter((_, index) => groups[level]?.[index] === answer);
}

async function readChecked(read, name, files) {
  const data = await read(name);
  const found = await digest(data);
  if (found !== files[name]) throw new Error(`${name}: changed since the bundle was made: SHA-256 ${found.slice(0, 12)}...`);
  return data;
}

/** What each camera is called at each level; one without sisters is its own family. */
function groupsOf({ cameras, families }) {
  const family = new Map(Object.entries(families).flatMap(([name, members]) => members.map((camera) => [camera, name])));
  return {
    model: cameras.map(({ name }) => name),
    family: cameras.map(({ name }) => family.get(name) ?? name),
    maker: cameras.map(({ make }) => make),
  };
}

/** The tensors of a safetensors file by name: {shape, data}. */
function readTensors(file) {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const found = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return Object.fromEntries(
    found.map(([name, { dtype, shape, data_offsets: [begin, end] }]) => {
      const [Kind, size] = TYPES[dtype];
      const copy = file.slice(8 + length + begin, 8 + length + end); // begins at a multiple of its size
      return [name, { shape, data: new Kind(copy.buffer, 0, (end - begin) / size) }];
    }),
  );
}

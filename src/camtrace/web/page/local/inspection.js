// What a verdict rests on: the patches and their votes, the photo's history, facts of its EXIF (camtrace.inspection).

import { readFacts } from "./exif.js";
import { historyWords } from "./history.js";
import { gather } from "./identification.js";
import * as jpeg from "./jpeg.js";
import * as png from "./png.js";

/** The verdict on the bytes of a file with what can be shown of its evidence. */
export async function inspect(core, data, options) {
  const { verdict, photo, history, patches, votes } = await gather(core, data, options);
  const { cameras, patch_size } = core.bundle.manifest;
  return {
    verdict,
    width: photo?.width ?? null,
    height: photo?.height ?? null,
    patch_size,
    patches: (patches?.positions ?? []).map((place, index) => ({ ...place, camera: cameras[votes.labels[index]].name })),
    history: history ? historyWords(history) : [],
    exif: factsOf(data),
  };
}

/** The facts of a file's EXIF; none where there is none or it cannot be read. */
function factsOf(data) {
  try {
    if (jpeg.isJpeg(data)) return readFacts(jpeg.readHeader(data).exif);
    return png.isPng(data) ? readFacts(png.readHeader(data).exif) : {};
  } catch {
    return {};
  }
}

/** Photos from a picker, a drop (folders as well) or the clipboard: always a list of {file, path}. */

import { el, icon } from "./dom.js";
import { t } from "./texts.js";

const PHOTO = /\.(jpe?g|jpe|jfif|png|tiff?|webp|heic|heif|avif|bmp)$/i;

/** A zone to drop photos on. It is a label of its own file input, so the keyboard and screen readers have it as well. */
export function dropZone({ title, hint, many = true, folders = false, small = false, take }) {
  const input = picker({ many, take });
  const zone = el(
    "div",
    { class: small ? "drop small" : "drop" },
    el("label", { class: "drop-face" }, icon("photo"), el("span", { class: "drop-title" }, title), input),
    el("p", { class: "drop-hint" }, hint),
    folders &&
      el("label", { class: "quiet button" }, icon("folder"), el("span", {}, t("drop.folder")), picker({ folder: true, take })),
  );
  onDrop(zone, many ? take : (found) => take(found.slice(0, 1)));
  return { zone, input };
}

/** Take what is dropped on an element, and show while something hangs over it. */
export function onDrop(zone, take) {
  let depth = 0;
  const mark = (change) => zone.classList.toggle("over", (depth = Math.max(0, depth + change)) > 0);
  zone.addEventListener("dragenter", (event) => (event.preventDefault(), mark(1)));
  zone.addEventListener("dragleave", () => mark(-1));
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    mark(-depth);
    take(await dropped(event.dataTransfer));
  });
}

/** A photo missed its zone: without this the browser would leave the page and show the file. */
export function keepPage() {
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}

/** The photos in the clipboard. */
export function pasted(event) {
  return [...(event.clipboardData?.files ?? [])].map((file) => ({ file, path: file.name, pasted: true }));
}

/** Sort by path and leave out what is no photo by its name; for folders, which hold all sorts of files. */
export function photosOf(found) {
  const kept = found.filter(({ file }) => file.type.startsWith("image/") || PHOTO.test(file.name));
  return kept.sort((one, other) => one.path.localeCompare(other.path, undefined, { numeric: true }));
}

function picker({ many = true, folder = false, take }) {
  return el("input", {
    type: "file",
    class: "heard",
    multiple: many && !folder,
    webkitdirectory: folder,
    accept: folder ? null : "image/*,.heic,.heif,.tif,.tiff",
    onchange: (event) => {
      const found = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      event.target.value = ""; // so that the same photo can be chosen again
      if (found.length) take(folder ? photosOf(found) : found);
    },
  });
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = (await Promise.all(entries.map((entry) => walk(entry)))).flat();
  return photosOf(found);
}

async function walk(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path }];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map((one) => walk(one)))).flat();
}

/** Teach a camera: a handful of photos under a name become a new bundle, which the other views then use. */

import { announce, button, el, fill, shown } from "./dom.js";
import { explain, patiently } from "./errors.js";
import { dropZone } from "./files.js";
import { t } from "./texts.js";

const FEW = 5; // photos of a camera, as enrolment warns
const NAME = /^([A-Za-z0-9][A-Za-z0-9_-]{0,47})?$/; // of a bundle, which may become that of a folder; empty: the service makes one up

/** Build the view into `section`; `taught(name)` is called with the name of a bundle that was made. */
export function createTeach({ section, engine, choices, taught }) {
  const albums = [];
  const rows = el("div", { class: "albums" });
  const result = el("div", { class: "result" });
  const { zone, input } = dropZone({ title: t("teach.drop"), hint: t("teach.hint"), folders: true, take: add });
  const bundleName = el("input", {
    id: "bundle-name",
    type: "text",
    maxlength: 48,
    autocomplete: "off",
    placeholder: t("teach.bundle.example"),
  });
  const only = el("input", { type: "checkbox" });
  const start = button(t("teach.start"), run, { kind: "main" });
  const form = el(
    "div",
    { class: "card", hidden: true },
    rows,
    el("p", { class: "field" }, el("label", { for: "bundle-name" }, t("teach.bundle")), bundleName),
    el("label", { class: "check" }, only, el("span", {}, t("teach.only"))),
    el(
      "p",
      { class: "actions" },
      start,
      button(t("teach.more"), () => input.click(), { kind: "quiet", drawn: "plus" }),
    ),
  );
  fill(
    section,
    el("div", { class: "hero" }, el("h1", {}, t("teach.title")), el("p", { class: "lead" }, t("teach.lead"))),
    zone,
    form,
    result,
  );

  /** Photos from folders are grouped by their folder, underscores as spaces; the others make one camera yet without a name. */
  function add(found) {
    const groups = Map.groupBy ? Map.groupBy(found, folderOf) : grouped(found);
    for (const [name, part] of groups) {
      const same = name && albums.find((album) => album.input.value.trim() === name);
      if (same) same.files.push(...part.map(({ file }) => file));
      else
        addAlbum(
          name,
          part.map(({ file }) => file),
        );
    }
    albums.forEach(drawCount);
    form.hidden = albums.length === 0;
    announce(t("teach.added", { count: found.length }));
    albums.find((album) => !album.input.value)?.input.focus();
  }

  function addAlbum(name, files) {
    const id = `album-${Date.now()}-${albums.length}`;
    const album = { files, count: el("span", { class: "hint", id: `${id}-count` }) };
    album.input = el("input", {
      id,
      type: "text",
      value: name,
      maxlength: 100,
      placeholder: t("teach.camera.example"),
      autocomplete: "off",
      "aria-describedby": `${id}-count`,
    });
    const remove = button(t("action.remove"), () => removeAlbum(album), { kind: "quiet", drawn: "close" });
    album.row = el(
      "div",
      { class: "album" },
      el("p", { class: "field" }, el("label", { for: id }, t("teach.camera")), album.input),
      album.count,
      remove,
    );
    albums.push(album);
    rows.append(album.row);
  }

  function removeAlbum(album) {
    albums.splice(albums.indexOf(album), 1);
    album.row.remove();
    form.hidden = albums.length === 0;
    input.focus();
  }

  function drawCount({ files, count }) {
    fill(count, t("teach.count", { count: files.length }), files.length < FEW ? ` ${t("teach.few")}` : "");
  }

  /** What is wrong with the form, in words; null if nothing is. */
  function wrong() {
    const nameless = albums.find((album) => !album.input.value.trim());
    if (nameless) return [t("teach.nameless"), nameless.input];
    if (only.checked && albums.length < 2) return [t("teach.two"), only];
    return NAME.test(bundleName.value.trim()) ? null : [t("teach.bundle.wrong"), bundleName];
  }

  async function run() {
    const problem = wrong();
    if (problem) {
      fill(result, el("p", { class: "notice", role: "alert" }, problem[0]));
      return problem[1].focus();
    }
    const controller = new AbortController();
    const { signal } = controller;
    const note = el("p", { class: "hint" });
    const bar = el("progress", { "aria-label": t("teach.working"), max: 1 });
    const stop = button(t("action.cancel"), () => controller.abort(new DOMException("", "AbortError")), {
      kind: "quiet",
      drawn: "close",
    });
    fill(result, el("div", { class: "card" }, el("p", { role: "status" }, t("teach.working")), bar, note, stop));
    start.disabled = true;
    const onSent = (share) => (share < 1 ? bar.setAttribute("value", share) : bar.removeAttribute("value"));
    const asked = albums.map(({ input: { value }, files }) => ({ camera: value.trim(), files }));
    const options = { signal, onSent, name: bundleName.value.trim(), only: only.checked, bundle: choices.now().bundle };
    try {
      const made = await patiently(() => engine.enroll(asked, options), { signal, onWait: (words) => fill(note, words ?? "") });
      await choices.refresh(made.bundle.name);
      taught(made.bundle.name);
      fill(result, success(made));
      announce(t("teach.done", { name: made.bundle.name }));
    } catch (error) {
      const { title, detail } = explain(error);
      fill(
        result,
        el("div", { class: "notice", role: "alert" }, el("p", { class: "strong" }, title), detail && el("p", {}, shown(detail))),
      );
    } finally {
      start.disabled = false;
    }
  }
}

/** What was taught, in words, and the way on. */
function success(made) {
  const { bundle, photos, accuracy, failures, warnings, dropped = [], origin } = made;
  const lines = Object.entries(photos).map(([camera, count]) => el("li", {}, shown(t("teach.taught", { camera, count }))));
  const checked = accuracy.photos
    ? t("teach.checked", { right: accuracy.right, photos: accuracy.photos, protocol: accuracy.protocol })
    : null;
  const block = (title, texts) =>
    texts.length > 0 && [
      el("h3", {}, title),
      el(
        "ul",
        {},
        texts.map((text) => el("li", {}, shown(text))),
      ),
    ];
  return el(
    "div",
    { class: "card" },
    el("h2", {}, t("teach.done", { name: shown(bundle.name) })),
    el("p", {}, t("teach.knows", { count: made.cameras })),
    el("ul", {}, lines),
    checked && el("p", {}, checked),
    block(t("teach.warnings"), warnings),
    block(t("teach.failures"), Object.values(failures)),
    block(t("teach.dropped"), dropped),
    origin === "memory" && el("p", { class: "hint" }, t("teach.kept")),
    el("p", { class: "actions" }, el("a", { class: "button main", href: "#identify" }, t("teach.use"))),
  );
}

function folderOf({ path }) {
  const parts = path.split("/");
  return parts.length > 1 ? parts.at(-2).replaceAll("_", " ").trim() : "";
}

function grouped(found) {
  const groups = new Map();
  for (const one of found) groups.set(folderOf(one), [...(groups.get(folderOf(one)) ?? []), one]);
  return groups;
}

/** What the user chooses for all photos: the mode, and the bundle where there are several. */

import { el, fill, shown } from "./dom.js";
import { t } from "./texts.js";

const MODES = ["careful", "balanced", "guess"];

/** The choices: `now()` gives {mode, bundle}, `element` is to be shown, `changed()` is called when one is chosen. */
export function createChoices({ engine, changed }) {
  const state = { mode: "balanced", bundle: null, bundles: [] };
  const told = el("p", { class: "hint", id: "mode-means" });
  const chooser = el("select", { id: "bundle", onchange: () => ((state.bundle = chooser.value || null), changed()) });
  const bundleField = el("p", { class: "field", hidden: true }, el("label", { for: "bundle" }, t("bundle.title")), chooser);
  const element = el("div", { class: "choices" }, el("div", { class: "mode" }, modes(), told), bundleField);
  tell();

  function modes() {
    const segments = MODES.map((mode) =>
      el(
        "label",
        { class: "segment" },
        el("input", {
          type: "radio",
          name: "mode",
          value: mode,
          checked: mode === state.mode,
          "aria-describedby": "mode-means",
          onchange: () => choose(mode),
        }),
        el("span", {}, t(`mode.${mode}`)),
      ),
    );
    return el("fieldset", { class: "segments" }, el("legend", {}, t("mode.title")), segments);
  }

  function choose(mode) {
    state.mode = mode;
    tell();
    changed();
  }

  function tell() {
    fill(told, t(`mode.${state.mode}.means`));
  }

  /** Read the bundles there are, and choose one of them. */
  async function refresh(wanted = state.bundle) {
    if (!engine.bundles) return;
    state.bundles = (await engine.bundles()).bundles;
    state.bundle = state.bundles.some(({ name, default: own }) => name === wanted && !own) ? wanted : null;
    fill(
      chooser,
      state.bundles.map((bundle) => option(bundle, state.bundle)),
    );
    bundleField.hidden = state.bundles.length < 2;
  }

  return { element, refresh, now: () => ({ mode: state.mode, bundle: state.bundle }), bundles: () => state.bundles };
}

/** The service's own bundle is asked for by no name. */
function option({ name, cameras, default: own }, chosen) {
  const words = typeof cameras === "number" ? t("bundle.option", { name: shown(name), count: cameras }) : shown(name);
  return el("option", { value: own ? "" : name, selected: name === chosen }, words);
}

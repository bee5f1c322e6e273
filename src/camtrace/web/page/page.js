/** The page: chooses the engine and the language, builds the views and shows the one that the address names. */

import { createCameras } from "./cameras.js";
import { createChoices } from "./choices.js";
import { createCompare } from "./compare.js";
import { el, fill, icon } from "./dom.js";
import { explain } from "./errors.js";
import { keepPage } from "./files.js";
import { createIdentify } from "./identify.js";
import { createTeach } from "./teach.js";
import { fillTexts, loadTexts, t } from "./texts.js";
import { isDark, onSystemChange, switchTheme } from "./theme.js";
import { askToken, knownToken } from "./token.js";

const VIEWS = ["identify", "compare", "teach", "cameras"];
const ENGINES = { http: "./engine_http.js", local: "./local/engine.js" };

const byId = (id) => document.getElementById(id);
const meta = (name) => document.querySelector(`meta[name=${name}]`).content;

start();

async function start() {
  const token = knownToken();
  await loadTexts(meta("camtrace-texts").split(" "), navigator.languages);
  fillTexts(document);
  drawTheme();
  keepPage();
  try {
    const kind = meta("camtrace-engine");
    const { createEngine } = await import(ENGINES[kind]);
    build(await createEngine({ base: new URL(".", document.baseURI).href, askToken, token }));
  } catch (error) {
    complain(error);
  }
}

function build(engine) {
  const held = { known: null, cameras: [] };
  const read = () =>
    (held.known ??= engine.cameras({ bundle: choices.now().bundle }).then((known) => ((held.cameras = known.cameras), known)));
  const choices = createChoices({ engine, changed: choicesChanged });
  const section = (name) => byId(name);
  const compare = engine.can.compare ? createCompare({ section: section("compare"), engine, choices }) : null;
  const identify = createIdentify({ section: section("identify"), engine, choices, cameras: () => held.cameras, goCompare });
  if (engine.can.enroll) createTeach({ section: section("teach"), engine, choices, taught: choicesChanged });
  const drawCameras = createCameras({
    section: section("cameras"),
    read: () => read().catch((error) => ((held.known = null), Promise.reject(error))),
  });

  function choicesChanged() {
    held.known = null;
    read().catch(complain);
    identify.choicesChanged();
    if (location.hash === "#cameras") drawCameras();
  }

  function goCompare(item) {
    location.hash = "#compare";
    compare.setFirst(item);
  }

  for (const link of document.querySelectorAll("[data-needs]")) if (!engine.can[link.dataset.needs]) link.remove();
  fill(byId("where"), t(`where.${engine.name}`, { host: location.host }));
  addEventListener("hashchange", () => show(engine, drawCameras, true));
  show(engine, drawCameras, false);
  choices.refresh().then(read).catch(complain);
}

/** Show the view that the address names; after a change the heading is where a reader goes on. */
function show(engine, drawCameras, moved) {
  const wanted = location.hash.slice(1);
  if (wanted === "main" && moved) return; // the way past the navigation, not a view
  const view = VIEWS.includes(wanted) && byId(wanted).childElementCount ? wanted : "identify";
  for (const name of VIEWS) byId(name).hidden = name !== view;
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`view.${view}`)} – camtrace`;
  if (view === "cameras") drawCameras();
  if (moved) (byId("main").focus({ preventScroll: true }), scrollTo(0, 0));
}

function drawTheme() {
  const switcher = byId("theme");
  const draw = () => {
    const words = t(isDark() ? "theme.light" : "theme.dark");
    fill(switcher, icon(isDark() ? "sun" : "moon"), el("span", { class: "heard" }, words));
    switcher.title = words;
  };
  switcher.addEventListener("click", () => (switchTheme(), draw()));
  onSystemChange(draw);
  draw();
}

/** The page itself cannot work, or not fully: say so above everything. */
function complain(error) {
  const { title, detail } = explain(error);
  const again = el("button", { type: "button", onclick: () => location.reload() }, t("action.reload"));
  fill(
    byId("trouble"),
    el("div", { class: "notice", role: "alert" }, el("p", { class: "strong" }, title), detail && el("p", {}, detail), again),
  );
}

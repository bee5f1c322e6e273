// Compare what the EXIF claims with the camera, family or maker that the pixels speak for (camtrace.claim).
//
// Words of a name are kept as a list; as keys of tables they are joined by spaces.

const COMPANY_WORDS = new Set(
  ("ag camera cameras co company corp corporation electric electronics gmbh imaging inc international limited ltd " +
    "mobile optical technologies").split(" "),
);
const NOT_WORDS = /[^\p{L}\p{N}]+/u;
const LONGEST = 3; // words that a maker's name or brand has at most
const TELLING = 4; // letters and digits that a model needs to be known without its maker

/** A function agrees(claim, answer, level, cameras) from the table `names.json`: true, false, or null where nothing can be compared. */
export function createAgrees(table) {
  const names = readNames(table);
  return (claim, answer, level, cameras) => {
    if (level === "unknown" || answer === "unknown") return null;
    const said = claimed(claim, names);
    if (level === "maker") return said.makers.size ? overlap(said.makers, identity(answer, names).makers) : null;
    const candidates = (level === "model" ? [answer] : cameras).map((camera) => identity(camera, names));
    if (!candidates.length) return null;
    if (said.model) return candidates.some((candidate) => same(said, candidate));
    const makers = new Set(candidates.flatMap((candidate) => [...candidate.makers]));
    return listed(said.makers, names) && listed(makers, names) && !overlap(said.makers, makers) ? false : null;
  };
}

function same(first, second) {
  if (first.plain && first.plain === second.plain) return true;
  if (first.group && second.group) return first.group === second.group;
  const contradict = first.makers.size && second.makers.size && !overlap(first.makers, second.makers);
  return first.model !== "" && first.model === second.model && !contradict;
}

function claimed(claim, names) {
  const [make, model] = [claim.make ?? "", claim.model ?? ""];
  if (!wordsOf(model).length) return { ...identity(make, names), model: "", group: null, plain: "" };
  if (!wordsOf(make).length || leading(wordsOf(model), names.makers)) return identity(model, names, false);
  const [whole, alone] = [identity(`${make} ${model}`, names), identity(model, names, false)];
  const brand = names.brands.get(wordsOf(make).join(" "));
  return alone.group && !whole.group && alone.makers.has(brand) ? alone : whole;
}

/** What a name tells: its makers, its model and its group. `made`: a first word that nobody knows is the maker's. */
function identity(name, names, made = true) {
  const words = wordsOf(name);
  let [makers, rest] = split(words, names.makers);
  let group = makers.length ? null : names.models.get(words.join("")) ?? null;
  if (!makers.length && !group) {
    const brand = leading(words, names.brands);
    if (brand) makers = [brand.owner];
    else if (made && words.length) [makers, rest] = [words.slice(0, 1), words.filter((word) => word !== words[0])];
  }
  const model = modelOf(rest, makers, names.series);
  group ??= makers.map((maker) => names.groups.get(`${maker}\n${model}`)).find(Boolean) ?? null;
  const family = group ? split(wordsOf(group), names.makers)[0] : [];
  return { makers: new Set([...makers, ...family]), model, group, plain: [...new Set(words)].join("") };
}

function wordsOf(name) {
  const plain = fold(name).replaceAll("+", " plus ");
  return plain.split(NOT_WORDS).filter((word) => word && !COMPANY_WORDS.has(word));
}

/** The longest entry of the table that the words begin with: whose it is and how many words it takes. */
function leading(words, table) {
  for (let length = Math.min(words.length, LONGEST); length > 0; length--) {
    const owner = table.get(words.slice(0, length).join(" "));
    if (owner) return { owner, length };
  }
  return null;
}

/** The makers that a name begins with, and the rest. */
function split(words, table) {
  const makers = [];
  let rest = words;
  for (let found = leading(rest, table); found; found = leading(rest, table)) {
    makers.push(found.owner);
    rest = rest.slice(found.length);
  }
  return [makers, rest];
}

function modelOf(words, makers, series) {
  const idle = new Set(makers.flatMap((maker) => [...(series.get(maker) ?? [])]));
  return [...new Set(words.filter((word) => !idle.has(word)))].join("");
}

const fold = (text) => text.toLowerCase().replaceAll("ß", "ss");
const overlap = (first, second) => [...first].some((value) => second.has(value));
const listed = (makers, names) => makers.size > 0 && [...makers].every((maker) => names.listed.has(maker));

/** `names.json`, ready to be asked. */
function readNames(table) {
  const key = (text) => wordsOf(text).join(" ");
  const entries = Object.entries(table.makers);
  const makers = new Map(entries.flatMap(([maker, texts]) => [maker, ...texts].map((text) => [key(text), maker])));
  const brands = new Map(Object.entries(table.brands).flatMap(([maker, texts]) => texts.map((text) => [key(text), maker])));
  const series = new Map(Object.entries(table.series).map(([maker, words]) => [maker, words.map(fold)]));
  const [groups, owners] = [new Map(), new Map()];
  for (const entry of table.cameras) {
    const own = split(wordsOf(entry.name), makers)[0];
    for (const name of Object.values(entry).flat()) {
      const [whose, rest] = split(wordsOf(name), makers);
      const model = modelOf(rest, whose.length ? whose : own, series);
      for (const maker of whose.length ? whose.slice(-1) : own) groups.set(`${maker}\n${model}`, entry.name);
      owners.set(model, (owners.get(model) ?? new Set()).add(entry.name));
    }
  }
  const clear = [...owners].filter(([model, found]) => found.size === 1 && model.length >= TELLING && !/^\p{Nd}+$/u.test(model));
  const models = new Map(clear.map(([model, found]) => [model, [...found][0]]));
  return { makers, brands, series, groups, models, listed: new Set(makers.values()) };
}

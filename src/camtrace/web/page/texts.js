/** All words of the page, from texts.LANGUAGE.json: text with {names} to fill in; `key.one`, `key.other` by the count. */

let texts = {};
let language = "en";
let rules = new Intl.PluralRules("en");

/** Load the texts of the first wanted language that there is, over those of the first one there is at all. */
export async function loadTexts(available, wanted) {
  const found = wanted.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => available.includes(tag));
  language = found ?? available[0];
  const parts = await Promise.all([...new Set([available[0], language])].map(read));
  texts = Object.assign({}, ...parts);
  rules = new Intl.PluralRules(language);
  document.documentElement.lang = language;
}

/** The text of a key with its {names} filled in; a key that is missing shows itself, so that it is found. */
export function t(key, values = {}) {
  const text =
    (values.count !== undefined && texts[`${key}.${rules.select(values.count)}`]) || texts[key] || texts[`${key}.other`] || key;
  const filled = { article: article(values), ...values };
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in filled ? format(filled[name]) : whole));
}

/** Whether there is such a text. */
export function hasText(key) {
  return key in texts;
}

/** A share of 1 as a percentage; what is hardly 0 or 1 is not shown as 0 or 1. */
export function percent(share) {
  const style = { style: "percent", maximumFractionDigits: share > 0 && share < 0.1 ? 1 : 0 };
  const number = new Intl.NumberFormat(language, style);
  if (share > 0 && share < 0.001) return `< ${number.format(0.001)}`;
  if (share < 1 && share > 0.99) return `> ${number.format(0.99)}`;
  return number.format(share);
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** The size of a file. */
export function fileSize(bytes) {
  if (bytes < 1000) return t("size.bytes", { count: bytes });
  return bytes < 1e6 ? t("size.kilo", { amount: number(bytes / 1e3, 0) }) : t("size.mega", { amount: number(bytes / 1e6, 1) });
}

/** Names in a row. */
export function list(names) {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(names);
}

/** Fill every element that names its text by data-text, and its label by data-label. */
export function fillTexts(root) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
}

async function read(tag) {
  const answer = await fetch(new URL(`texts.${tag}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`texts.${tag}.json: ${answer.status}`);
  return answer.json();
}

function article({ camera }) {
  if (camera === undefined) return "";
  return texts[/^[aeiou]/i.test(camera) ? "article.vowel" : "article.other"] ?? "";
}

function format(value) {
  return typeof value === "number" ? number(value, 2) : String(value);
}

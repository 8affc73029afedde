// The page's words, in the language of its reader.
import english from "./words_en.js";
import swahili from "./words_sw.js";

const LANGUAGES = { en: english, sw: swahili };
const KEPT = "language";
const listeners = [];
let language = chosen();

function chosen() {
  const known = [kept(), ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2));
  return known.find((tag) => tag in LANGUAGES) ?? "en";
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // the browser keeps nothing
  }
}

/** A sentence in the page's language; `{name}` in it stands for a value. */
export function say(key, values = {}) {
  const text = LANGUAGES[language][key] ?? LANGUAGES.en[key];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What the page's language has for a sentence of the server, if it has something. */
export const ours = (code) => LANGUAGES[language][`error_${code}`];

export const current = () => language;

/** Be told when the page speaks another language. */
export function onLanguage(listener) {
  listeners.push(listener);
}

/** Speak a language, and remember it. */
export function speak(tag) {
  language = tag;
  try {
    localStorage.setItem(KEPT, tag);
  } catch {
    // it is then asked for again next time
  }
  translate();
  for (const listener of listeners) listener();
}

/** Write all that stands in the document anew: `data-say` is a text's key, `data-label` that of a name. */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    if (element.matches("button")) element.title = say(element.dataset.label);
  }
}

/** The token of a service that wants one: from the address (#token=...), kept for this tab, or typed when asked. */

import { button, el, fill } from "./dom.js";
import { t } from "./texts.js";

const KEY = "camtrace-token";

/** The token that is known when the page starts; it is taken out of the address, so that nobody copies it along. */
export function knownToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    keep(decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return found ? decodeURIComponent(found[1]) : null;
  }
}

/** Ask for the token in a dialog; null if that is closed. `wrong` says that one was given and refused. */
export function askToken(wrong) {
  return new Promise((resolve) => {
    const input = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
    const dialog = el("dialog", { "aria-labelledby": "token-title" });
    const done = (value) => (dialog.remove(), resolve(value));
    const given = (event) => {
      event.preventDefault();
      keep(input.value.trim());
      done(input.value.trim());
    };
    fill(
      dialog,
      el(
        "form",
        { onsubmit: given },
        el("h2", { id: "token-title" }, t("token.title")),
        el("p", {}, t(wrong ? "token.wrong" : "token.why")),
        el("p", { class: "field" }, el("label", { for: "token" }, t("token.label")), input),
        el(
          "p",
          { class: "actions" },
          el("button", { type: "submit", class: "main" }, t("token.send")),
          button(t("action.cancel"), () => done(null), { kind: "quiet" }),
        ),
      ),
    );
    dialog.addEventListener("cancel", () => done(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

function keep(token) {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // then it is asked for again after a reload
  }
}

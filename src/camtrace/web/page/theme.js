/** Light or dark: as the system says until somebody chooses; loaded before the page is drawn, so nothing flashes. */

const KEY = "camtrace-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = remembered();

if (chosen) document.documentElement.dataset.theme = chosen;

/** Whether the page is dark now. */
export function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : system.matches;
}

/** Change between light and dark. A choice that is the system's own follows the system again. */
export function switchTheme() {
  const wanted = isDark() ? "light" : "dark";
  const own = (wanted === "dark") === system.matches;
  if (own) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  remember(own ? null : wanted);
}

/** Call when the system changes its mind. */
export function onSystemChange(listener) {
  system.addEventListener("change", listener);
}

function remembered() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null; // storage may be forbidden
  }
}

function remember(theme) {
  try {
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
  } catch {
    // then the choice lasts as long as the page
  }
}

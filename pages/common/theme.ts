/** Light or dark: as the system has it, or as the reader chose. */

import { byId } from "./dom";

const KEY = "l2cache-theme";

/** Makes the page's button `#theme` change between light and dark, and calls back when the colours change. */
export function followTheme(changed: () => void): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const button = byId<HTMLButtonElement>("theme");
  const chosen = localStorage.getItem(KEY);
  if (chosen === "dark" || chosen === "light") root.dataset["theme"] = chosen;
  const label = (): void => {
    const dark = root.dataset["theme"] ? root.dataset["theme"] === "dark" : system.matches;
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Change to light colours" : "Change to dark colours");
  };
  button.addEventListener("click", () => {
    const dark = root.dataset["theme"] ? root.dataset["theme"] === "dark" : system.matches;
    root.dataset["theme"] = dark ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset["theme"]);
    label();
    changed();
  });
  system.addEventListener("change", () => {
    label();
    changed();
  });
  label();
}

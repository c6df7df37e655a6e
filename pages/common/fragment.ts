/** What the page shows, kept in the address behind `#`, which is sent to no server. */

/** The parts of the address's fragment. */
export function readFragment(): URLSearchParams {
  return new URLSearchParams(location.hash.slice(1));
}

/** Puts parts into the address; empty ones are left out. The browser's history gets no entry. */
export function writeFragment(parts: Record<string, string>): void {
  const kept = Object.entries(parts).filter(([, value]) => value !== "");
  const text = kept.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`).join("&");
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

/** Reading a neuroglancer state: as JSON, from a link, and in the way older links are written. */

/** Text that holds no ids; the message says what is wrong. */
export class NotUnderstood extends Error {}

export interface Layer {
  type?: string;
  source?: unknown;
  segments?: unknown;
}

/** Whether a text is meant as a state or a link to one. */
export function isState(text: string): boolean {
  return text.includes("#!") || text.startsWith("{") || /[?&]json_url=/.test(text);
}

/** The layers of a state.
 *
 * @param text a link with the state behind `#!`, or the state itself.
 * @throws NotUnderstood if it is none, or lies elsewhere.
 */
export function layersOf(text: string): Layer[] {
  const behind = text.startsWith("{") ? text : text.includes("#!") ? text.slice(text.indexOf("#!") + 2) : null;
  const plain = behind === null ? null : decoded(behind);
  if (plain === null || /^[\w+]*:\/\//.test(plain)) {
    throw new NotUnderstood(
      "This link names a state that lies on a server. Open it in neuroglancer, and paste the state itself: its {} button shows it.",
    );
  }
  const { layers } = parsed(plain);
  if (Array.isArray(layers)) return layers.filter((layer) => typeof layer === "object" && layer !== null);
  // the oldest states name their layers by keys
  if (typeof layers === "object" && layers !== null) return Object.values(layers as Record<string, Layer>);
  return [];
}

function decoded(text: string): string {
  if (text.startsWith('{"')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new NotUnderstood("This link is cut off or damaged.");
  }
}

function parsed(text: string): { layers?: unknown } {
  for (const read of [text, withCommasAndQuotes(text)]) {
    try {
      const state: unknown = JSON.parse(read);
      if (typeof state === "object" && state !== null) return state;
    } catch {
      // it may be written in the other way
    }
  }
  throw new NotUnderstood("This is no neuroglancer state: it cannot be read as JSON.");
}

/** JSON of what neuroglancer writes so that it need not be escaped in an address: ' for ", and _ for a comma. */
function withCommasAndQuotes(text: string): string {
  return text.replace(/'((?:[^'\\]|\\.)*)'|"(?:[^"\\]|\\.)*"|[_&]/g, (found, inner: string | undefined) => {
    if (inner === undefined) return found.startsWith('"') ? found : ",";
    return `"${inner.replace(/\\'|"/g, (one) => (one === '"' ? '\\"' : "'"))}"`;
  });
}

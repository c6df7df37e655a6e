/** Requests to the page's own function, and what went wrong with them in words. */

/** An answer that is an error; its message is fit for people. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly retryAfterS: number | null,
    /** Where a browser logs in, if that is what is missing. */
    readonly loginUrl: string | null,
    /** How many ids would fit, if there were too many. */
    readonly maxIds: number | null,
  ) {
    super(message);
  }
}

/** The answer to a request, if it is no error.
 *
 * @throws RequestError for an answer that is one, or none at all.
 */
export async function request(url: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new RequestError("The function cannot be reached just now.", 0, null, null, null);
  }
  if (response.ok) return response;
  throw await refusal(response);
}

/** The JSON value of an answer. */
export async function requestJson<T>(url: string, options: RequestInit = {}): Promise<T> {
  return (await (await request(url, options)).json()) as T;
}

/** A POST of a JSON object. */
export function posting(body: unknown, signal?: AbortSignal): RequestInit {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) };
}

async function refusal(response: Response): Promise<RequestError> {
  let said: { message?: string; max_ids?: number } = {};
  try {
    said = (await response.json()) as typeof said;
  } catch {
    // what is no JSON comes from a proxy, and tells a person nothing
  }
  const retry = Number(response.headers.get("Retry-After") ?? "NaN");
  const realm = /realm="(https:\/\/[^"]+)"/.exec(response.headers.get("WWW-Authenticate") ?? "")?.[1] ?? null;
  const message = said.message ?? `The function answered ${response.status} ${response.statusText}.`;
  const login = response.status === 401 ? realm : null;
  return new RequestError(message, response.status, Number.isFinite(retry) ? retry : null, login, said.max_ids ?? null);
}

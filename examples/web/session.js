// Who is logged in, in all windows of this browser, and every request that is made for them.

const KEY = "tasks-session";
const EARLY_MS = 10_000; // a token that ends while its request is on the way is a 401

/** What the service has refused, or that it could not be reached: `status` 0. */
export class Refusal extends Error {
  constructor(status, problem, etag = null) {
    super(problem.title);
    Object.assign(this, { status, problem, etag });
  }
}

export function session() {
  return JSON.parse(localStorage.getItem(KEY));
}

export async function enter(how, email, password) {
  const { body } = await send("POST", `/api/auth/${how}`, { body: { email, password } });
  keep(body);
}

/** The session ends here at once, and at the service when it can be reached. */
export async function leave() {
  const { refresh_token } = session();
  localStorage.removeItem(KEY);
  await send("POST", "/api/auth/logout", { body: { refresh_token } });
}

/** A request for the user's own: `path` begins behind /api/{user_id}. Answers {body, etag}, or throws a Refusal. */
export async function request(method, path, options = {}) {
  const response = await own(method, path, options);
  return read(response);
}

/** The same, for an answer that is read while it comes. */
export async function own(method, path, options = {}) {
  let current = session();
  if (current && Date.now() > current.expires_at - EARLY_MS) current = await refresh(current);
  if (!current) throw new Refusal(401, { title: "Nobody is logged in" });
  const url = `/api/${current.user.id}${path}`;
  try {
    return await accepted(method, url, options, current.access_token);
  } catch (error) {
    if (error.status !== 401) throw error;
    const renewed = await refresh(current); // the clock of this machine may be wrong
    return accepted(method, url, options, renewed.access_token);
  }
}

// One window at a time; the others find the new tokens there.
function refresh(stale) {
  return navigator.locks.request(KEY, async () => {
    const current = session();
    if (!current) throw new Refusal(401, { title: "The session has ended" });
    if (current.access_token !== stale.access_token) return current;
    try {
      const { body } = await send("POST", "/api/auth/refresh", { body: { refresh_token: current.refresh_token } });
      if (!isKept(current)) throw new Refusal(401, { title: "The session has ended" });
      return keep(body);
    } catch (error) {
      if (error.status === 401 && isKept(current)) localStorage.removeItem(KEY);
      throw error;
    }
  });
}

// Somebody may have logged out, or in again, while an answer was on its way.
function isKept({ refresh_token }) {
  return session()?.refresh_token === refresh_token;
}

function keep({ user, access_token, refresh_token, expires_in }) {
  const current = { user, access_token, refresh_token, expires_at: Date.now() + expires_in * 1000 };
  localStorage.setItem(KEY, JSON.stringify(current));
  return current;
}

async function send(method, url, options) {
  return read(await accepted(method, url, options, null));
}

async function read(response) {
  const body = response.status === 204 ? null : await arrived(response.json());
  return { body, etag: response.headers.get("ETag") };
}

async function accepted(method, url, { body, headers = {}, signal }, token) {
  const all = { ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (body) all["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const response = await arrived(fetch(url, { method, headers: all, body: body && JSON.stringify(body), signal }));
  if (response.ok) return response;
  throw new Refusal(response.status, await problemOf(response), response.headers.get("ETag"));
}

async function arrived(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { title: "The service cannot be reached", detail: "What you did may not have arrived. Try again." });
  }
}

// A proxy in between answers with what it likes.
async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText || "The service did not say why" };
  }
}

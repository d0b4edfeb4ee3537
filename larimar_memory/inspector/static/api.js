// Requests to the server that this page is from, with the token that its address had.

const KEPT = "larimar-token";

/** Keep the token of the address for this tab, and take it out of the address. */
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEPT, found[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEPT) !== null;
}

/** What the server says of a failure: what happened, why, and what to do. */
export class Told extends Error {
  constructor({ what, why, remedy }) {
    super(`${what} ${why} ${remedy}`);
  }
}

async function asked(name, given, signal) {
  let response;
  try {
    response = await fetch(`api/${name}`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Authorization: `Bearer ${sessionStorage.getItem(KEPT)}`,
      },
      body: JSON.stringify(given),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const why = "It has ended, or this machine was asleep.";
    throw new Told({ what: "The server does not answer.", why, remedy: "Start `larimar inspect` again." });
  }
  if (response.ok) return response;
  const text = await response.text();
  let error = { what: text, why: "", remedy: "Open the address that `larimar inspect` printed." };
  try {
    error = JSON.parse(text).error;
  } catch {
    // Refused before any action was asked: the text says why.
  }
  throw new Told(error);
}

/** What an action gives. */
export async function call(name, given = {}) {
  return (await asked(name, given)).json();
}

/** What an action gives, piece by piece. */
export async function* stream(name, given, signal) {
  const response = await asked(name, given, signal);
  let rest = "";
  for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const value = JSON.parse(line);
      if (value.error) throw new Told(value.error);
      yield value;
    }
  }
}

// Not every browser iterates over a stream itself.
async function* pieces(readable) {
  const reader = readable.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

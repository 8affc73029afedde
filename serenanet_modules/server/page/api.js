// What the page says to the server.
import { ours, say } from "./say.js";

const ATTENTION = 401;

function headers(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** An error out of what the server says, in the page's language where there is a sentence for it. */
export function refusal(status, text) {
  let message = say("status", { status });
  let code = null;
  try {
    ({ message, code } = JSON.parse(text).error);
  } catch {
    // not from our server but from something between
  }
  return Object.assign(new Error(sentence(ours(code) ?? message)), { status, code, wantsToken: status === ATTENTION });
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]\)?$/.test(text) ? "" : ".");
}

async function ask(path, token, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(token), ...options.headers } });
  } catch {
    throw new Error(say("unreachable"));
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return text;
}

/** The models that are served, the usual one first. */
export async function fetchModels(token) {
  return JSON.parse(await ask("v1/models", token)).data;
}

/** A transcript as the text of a file. */
export function exported(transcript, format, name, token) {
  const body = JSON.stringify({ ...transcript, format, name });
  return ask("v1/export", token, { method: "POST", body, headers: { "Content-Type": "application/json" } });
}

/** Let the server keep a recording with its transcript; gives the names of its files. */
export async function keep(blob, name, transcript, token) {
  const body = new FormData();
  body.append("file", blob, name);
  body.append("name", name);
  body.append("transcript", JSON.stringify(transcript));
  return JSON.parse(await ask("v1/corrections", token, { method: "POST", body }));
}

/** Fields without those that say nothing. */
export const filled = (fields) => Object.entries(fields).filter(([, value]) => value);

/** Audio on its way to its transcript; `wishes` are fields of the request. `onSent` and `onHeard` are told shares from 0 to 1; null while it waits. */
export class Transcription {
  constructor(blob, name, wishes, token, { onSent, onHeard }) {
    const form = new FormData();
    const fields = { ...wishes, response_format: "verbose_json", stream: "true" };
    for (const [key, value] of filled(fields)) form.append(key, value);
    for (const part of ["word", "segment"]) form.append("timestamp_granularities[]", part);
    form.append("file", blob, name);
    const request = (this.request = new XMLHttpRequest()); // fetch tells nothing of an upload's progress
    request.open("POST", "v1/audio/transcriptions");
    for (const [key, value] of Object.entries(headers(token))) request.setRequestHeader(key, value);
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.upload.onload = () => onHeard(null);
    request.onprogress = () => {
      const last = events(request.responseText).at(-1);
      if (last?.type === "transcript.progress") onHeard(last.share);
    };
    this.result = new Promise((resolve, reject) => {
      request.onload = () => this.end(resolve, reject);
      request.onerror = () => reject(new Error(say("unreachable")));
      request.onabort = () => reject(Object.assign(new Error(say("cancelled")), { cancelled: true }));
    });
    request.send(form);
  }

  end(resolve, reject) {
    const { status, responseText } = this.request;
    const last = status === 200 ? events(responseText).at(-1) : null;
    if (last?.type === "transcript.text.done") resolve(last);
    else if (last?.type === "error") reject(refusal(500, JSON.stringify(last)));
    else reject(refusal(status, responseText));
  }

  cancel() {
    this.request.abort();
  }
}

function events(text) {
  const whole = text.slice(0, text.lastIndexOf("\n\n") + 1).split("\n\n");
  return whole.filter((event) => event.startsWith("data: ")).map((event) => JSON.parse(event.slice(6)));
}

// What the page says to the server.

const UNREACHABLE = "The server cannot be reached.";

function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function refusal(status, text) {
  let message = `The server answered with status ${status}.`;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // not from our server but from something between
  }
  return Object.assign(new Error(sentence(message)), { status });
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** The model that is served. */
export async function fetchModel(token) {
  let response;
  try {
    response = await fetch("v1/models", { headers: authorization(token) });
  } catch {
    throw new Error(UNREACHABLE);
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return JSON.parse(text).data[0];
}

/** Send audio; `onSent` is told the share that is uploaded, from 0 to 1. */
export function transcribe(blob, name, token, onSent) {
  const form = new FormData();
  form.append("file", blob, name);
  form.append("response_format", "verbose_json");
  for (const part of ["word", "segment"]) form.append("timestamp_granularities[]", part);
  for (const part of ["srt", "vtt"]) form.append("include[]", part);
  const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
  request.open("POST", "v1/audio/transcriptions");
  for (const [key, value] of Object.entries(authorization(token))) request.setRequestHeader(key, value);
  return new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onSent(Math.min(0.99, event.loaded / event.total));
    request.upload.onload = () => onSent(1);
    request.onload = () =>
      request.status === 200
        ? resolve(JSON.parse(request.responseText))
        : reject(refusal(request.status, request.responseText));
    request.onerror = () => reject(new Error(UNREACHABLE));
    request.send(form);
  });
}

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Audio in, text so far out, over a WebSocket. `result` is the transcript in the end, `reason` what ended it early. */
export class LiveSession {
  static async open(token, onText) {
    const url = new URL("v1/audio/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, token ? ["serenanet", `bearer.${base64url(token)}`] : ["serenanet"]);
    const session = new LiveSession(socket, onText);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      session.result.catch(reject);
    });
    return session;
  }

  constructor(socket, onText) {
    this.socket = socket;
    this.reason = null;
    const sentences = [];
    this.result = new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "partial" || message.type === "final") {
          sentences[message.id] = message.text;
          onText(sentences.join(" "));
        }
        if (message.type === "done") resolve(message);
        if (message.type === "error") reject((this.reason = new Error(sentence(message.error.message))));
      };
      socket.onclose = () => reject(new Error("The live session was cut off."));
    });
  }

  /** Float samples at 16 kHz. */
  send(samples) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(pcm(samples));
  }

  finish() {
    this.socket.send(JSON.stringify({ type: "finish" }));
    return this.result;
  }

  close() {
    this.socket.close();
  }
}

/** Float samples as 16-bit little-endian ones. */
export function pcm(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((x, i) => view.setInt16(2 * i, Math.round(32767 * Math.max(-1, Math.min(1, x))), true));
  return view.buffer;
}

// Live audio: sound out, text so far in, over a WebSocket.
import { filled, refusal, sentence } from "./api.js";
import { say } from "./say.js";
import { pcm } from "./wav.js";

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A session. `result` is the transcript in the end, `reason` what ended it early. */
export class LiveSession {
  /** `wishes` are parameters of the address. */
  static async open(wishes, token, onText) {
    const url = new URL(`v1/audio/stream?${new URLSearchParams(filled(wishes))}`, document.baseURI);
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
        if (message.type === "error") reject((this.reason = refusal(400, data)));
      };
      socket.onclose = () => reject(new Error(sentence(say("cut_off"))));
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

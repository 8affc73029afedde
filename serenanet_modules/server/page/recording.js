// The button that records: a file for the queue or, with a model that streams, text at once.
import { LiveSession } from "./live.js";
import { Recorder } from "./recorder.js";
import { say } from "./say.js";
import { wav } from "./wav.js";

export class Recording {
  /** `parts` are elements: button, live and text; `server` gives model, token and more; `show` and `fail` say what happens. */
  constructor(parts, server, { onSound, show, fail }) {
    Object.assign(this, parts, { server, onSound, show, fail, recorder: null, session: null });
    this.button.addEventListener("click", () => (this.recorder ? this.stop() : this.start()));
  }

  async start() {
    const { model, token, streaming, hotwords } = this.server();
    const live = streaming && this.live.checked;
    let session = null;
    this.button.disabled = true;
    try {
      session = live ? await LiveSession.open({ model, hotwords }, token, (text) => (this.text.textContent = text)) : null;
      this.recorder = await Recorder.start((samples) => session?.send(samples));
      this.session = session;
      session?.result.then(
        () => this.session === session && this.stop(), // the server has heard enough
        (error) => this.session === session && (this.drop(), this.fail(error)),
      );
      this.name(true);
      this.show(say("recording"));
    } catch (error) {
      session?.close();
      this.fail(error);
    } finally {
      this.button.disabled = false;
    }
  }

  name(on) {
    this.button.dataset.say = on ? "stop" : "record";
    this.button.textContent = say(this.button.dataset.say);
    this.button.classList.toggle("on", on);
  }

  drop() {
    const { recorder } = this;
    this.recorder = this.session = null;
    this.name(false);
    return recorder?.stop();
  }

  async stop() {
    const { session } = this;
    const blob = wav(await this.drop());
    const name = `recording-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.wav`;
    this.show("");
    if (!session) return this.onSound(blob, name);
    this.show(say("finishing"));
    try {
      this.onSound(blob, name, await session.finish());
      this.show("");
      if (session.reason) this.fail(session.reason);
    } catch (error) {
      this.fail(error);
    }
    this.text.textContent = "";
  }
}

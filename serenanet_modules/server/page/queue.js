// Recordings on their way to their transcripts, some at a time.
import { Transcription } from "./api.js";
import { say } from "./say.js";
import { Transcript } from "./transcript.js";

const AT_ONCE = 2;
const FULL = 429;
const LATER = 3000; // milliseconds until a full server is asked again

export class Queue {
  /** `server` gives the model, the token and more, `onChange` is told of a job that has changed, `onToken` if one is wanted. */
  constructor(server, onChange, onToken) {
    Object.assign(this, { server, onChange, onToken, jobs: [], held: false });
  }

  /** A recording that is to be transcribed, or with `found` one that is. */
  add(blob, name, found = null) {
    const job = { blob, name, state: "waiting", share: 0, error: null, transcript: null, work: null };
    this.jobs.push(job);
    if (found) this.finish(job, found);
    else this.change(job, { state: "waiting" });
    this.next();
    return job;
  }

  change(job, values) {
    Object.assign(job, values);
    this.onChange(job);
  }

  /** Go on, after a token has come, too. */
  next() {
    const busy = this.jobs.filter((job) => job.work).length;
    const waiting = this.held ? [] : this.jobs.filter((job) => job.state === "waiting" && !job.work);
    for (const job of waiting.slice(0, Math.max(0, AT_ONCE - busy))) this.run(job);
  }

  async run(job) {
    const { model, token, most, hotwords } = this.server();
    if (job.blob.size > most) {
      const size = Math.floor(most / 2 ** 20);
      return this.change(job, { state: "failed", error: say("too_large", { size }) });
    }
    job.work = new Transcription(job.blob, job.name, { model, hotwords }, token, {
      onSent: (share) => this.change(job, { state: "sending", share }),
      onHeard: (share) => this.change(job, { state: share === null ? "queued" : "working", share }),
    });
    this.change(job, { state: "sending", share: 0, error: null });
    const found = await job.work.result.catch((error) => this.fail(job, error));
    job.work = null;
    if (found) this.finish(job, found);
    this.next();
  }

  finish(job, found) {
    this.change(job, { state: "done", share: 1, transcript: new Transcript(found) });
  }

  fail(job, error) {
    if (error.wantsToken) {
      this.held = true;
      this.change(job, { state: "waiting" });
      this.onToken(error);
    } else if (error.status === FULL) {
      this.change(job, { state: "waiting" });
      this.held = true;
      setTimeout(() => this.release(), LATER);
    } else this.change(job, { state: error.cancelled ? "cancelled" : "failed", error: error.message });
  }

  release() {
    this.held = false;
    this.next();
  }

  cancel(job) {
    if (job.work) job.work.cancel();
    else this.change(job, { state: "cancelled" });
  }

  retry(job) {
    this.change(job, { state: "waiting" });
    this.next();
  }

  remove(job) {
    this.jobs = this.jobs.filter((other) => other !== job);
    this.onChange(job);
  }
}

// The queue on the page.
import { clock, make } from "./dom.js";
import { onLanguage, say } from "./say.js";

const OVER = ["done", "failed", "cancelled"];

/** Where a job stands, in words. */
export function state(job) {
  if (job.state === "failed") return job.error;
  if (job.state !== "done") return say(job.state, { share: Math.floor(100 * job.share) });
  const words = job.transcript.segments.reduce((sum, segment) => sum + segment.words.length, 0);
  return words ? say("done", { words, time: clock(job.transcript.duration) }) : say("nothing");
}

export class QueueList {
  /** `place` is a list, `announce` tells those who do not see it, `onOpen` is given a job. */
  constructor(place, queue, announce, onOpen) {
    Object.assign(this, { place, queue, announce, onOpen, rows: new Map(), open: null });
    onLanguage(() => {
      this.rows.clear();
      place.replaceChildren();
      for (const job of queue.jobs) this.draw(job);
    });
  }

  draw(job) {
    if (!this.queue.jobs.includes(job)) {
      this.rows.get(job)?.row.remove();
      return this.rows.delete(job);
    }
    if (!this.rows.has(job)) this.rows.set(job, this.row(job));
    const { row, said, bar, buttons } = this.rows.get(job);
    const text = state(job);
    const over = OVER.includes(job.state);
    if (over && row.dataset.state !== job.state) this.announce(say("announced", { name: job.name, state: text }));
    row.dataset.state = job.state;
    row.classList.toggle("open", job === this.open);
    said.textContent = text;
    bar.hidden = over || job.state === "waiting";
    if (job.state === "queued") bar.removeAttribute("value");
    else bar.value = job.share;
    buttons.open.hidden = job.state !== "done";
    buttons.open.setAttribute("aria-pressed", job === this.open);
    buttons.retry.hidden = !["failed", "cancelled"].includes(job.state);
    buttons.cancel.hidden = over;
    buttons.remove.hidden = !over;
  }

  row(job) {
    const button = (key, work) => {
      const label = { "aria-label": say(`${key}_of`, { name: job.name }) };
      return make("button", { type: "button", onclick: work, attributes: label, dataset: { work: key } }, say(key));
    };
    const buttons = {
      open: button("open", () => this.onOpen(job)),
      retry: button("retry", () => this.queue.retry(job)),
      cancel: button("cancel", () => this.queue.cancel(job)),
      remove: button("remove", () => this.remove(job)),
    };
    const said = make("span", { className: "state" });
    const bar = make("progress", { max: 1, attributes: { "aria-label": job.name } });
    const row = make("li", {}, make("span", { className: "name" }, job.name), said, bar, make("span", { className: "row" }, ...Object.values(buttons)));
    this.place.append(row);
    return { row, said, bar, buttons };
  }

  remove(job) {
    if (!job.transcript?.changed || confirm(say("discard", { name: job.name }))) this.queue.remove(job);
  }

  /** Show which job is open. */
  choose(job) {
    this.open = job;
    for (const other of this.queue.jobs) this.draw(other);
  }
}

// The sound: play it, see where it is, let others know.
import { clock } from "./dom.js";
import { peaks } from "./peaks.js";
import { onLanguage, say } from "./say.js";

const BARS = 400;
const BACK = 3; // seconds
const REACH = 8; // pixels from a border of the segment at which it is taken hold of

export class Player {
  /** `parts` are elements: audio, wave, play, back, slider, time, speed and silence; `onTime` is told each moment, `onBorder` a segment's other times. */
  constructor(parts, onTime, onBorder) {
    Object.assign(this, parts, { onTime, onBorder, bars: null, segments: [], here: null, held: null, duration: 0, until: Infinity });
    const { audio, wave, play, back, slider, speed, silence } = parts;
    play.addEventListener("click", () => this.toggle());
    back.addEventListener("click", () => this.seek(audio.currentTime - BACK));
    slider.addEventListener("input", () => this.seek(Number(slider.value)));
    wave.addEventListener("pointerdown", (event) => this.hold(event));
    wave.addEventListener("pointermove", (event) => this.pull(event));
    wave.addEventListener("pointerup", (event) => this.letGo(event));
    wave.addEventListener("pointercancel", () => this.hold(null));
    speed.addEventListener("change", () => (audio.playbackRate = Number(speed.value)));
    for (const name of ["play", "pause", "seeked"]) audio.addEventListener(name, () => this.follow());
    audio.addEventListener("error", () => audio.src && this.hearing(false)); // a format that only the server reads
    audio.addEventListener("loadedmetadata", () => this.hearing(true));
    new ResizeObserver(() => this.draw()).observe(wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    onLanguage(() => this.follow());
    silence.hidden = true;
  }

  hearing(yes) {
    this.silence.hidden = yes;
    for (const element of [this.play, this.back, this.slider, this.speed]) element.disabled = !yes;
  }

  /** Take the audio of a blob. */
  load(blob, duration) {
    URL.revokeObjectURL(this.audio.src);
    this.audio.src = URL.createObjectURL(blob);
    this.audio.playbackRate = Number(this.speed.value);
    Object.assign(this, { duration, bars: null, until: Infinity });
    this.slider.max = duration;
    this.follow();
    peaks(blob, BARS).then((bars) => {
      this.bars = bars;
      this.draw();
    });
  }

  /** Show which segment has the cursor, and where there is no picture of the sound, all of them. */
  mark(segments, here) {
    Object.assign(this, { segments, here, held: null });
    this.draw();
  }

  // The borders of the segment with the cursor can be pulled; a click anywhere goes there.

  secondsAt({ offsetX }) {
    return Math.max(0, Math.min(1, offsetX / this.wave.clientWidth)) * this.duration;
  }

  borderAt(event) {
    const { here, wave, duration } = this;
    const away = (side) => Math.abs(event.offsetX - (here[side] / duration) * wave.clientWidth);
    const near = here && ["start", "end"].sort((one, other) => away(one) - away(other))[0];
    return near && away(near) <= REACH ? near : null;
  }

  hold(event) {
    this.held = event && { border: this.borderAt(event), from: event.offsetX, times: null };
    if (this.held?.border) this.wave.setPointerCapture(event.pointerId);
    this.draw();
  }

  pull(event) {
    const { held } = this;
    if (!held) this.wave.style.cursor = this.borderAt(event) ? "col-resize" : "";
    if (!held?.border || (!held.times && Math.abs(event.offsetX - held.from) < 2)) return;
    held.times = { [held.border]: this.secondsAt(event) };
    this.draw();
  }

  letGo(event) {
    const { held } = this;
    this.hold(null);
    if (held?.times) this.onBorder(held.times);
    else if (held) this.seek(this.secondsAt(event));
  }

  seek(seconds) {
    this.until = Infinity;
    this.audio.currentTime = Math.max(0, Math.min(this.duration, seconds));
  }

  toggle() {
    this.until = Infinity;
    if (this.audio.paused) this.audio.play();
    else this.audio.pause();
  }

  /** Play what lies between two times. */
  hear({ start, end }) {
    if (this.audio.error) return;
    this.audio.currentTime = start;
    this.until = end;
    this.audio.play();
  }

  /** Show where the sound is, from frame to frame while it runs. */
  follow() {
    const { audio, play, slider, time, duration } = this;
    const now = audio.currentTime;
    if (now >= this.until) {
      this.until = Infinity;
      audio.pause();
    }
    play.classList.toggle("on", !audio.paused);
    play.setAttribute("aria-label", say(audio.paused ? "play" : "pause"));
    play.title = say(audio.paused ? "play" : "pause");
    slider.value = now;
    const place = { at: clock(now), all: clock(duration) };
    slider.setAttribute("aria-valuetext", say("position_of", place));
    time.textContent = `${place.at} / ${place.all}`;
    this.onTime(now);
    this.draw();
    if (!audio.paused) requestAnimationFrame(() => this.follow());
  }

  draw() {
    const { wave, audio, duration } = this;
    if (!wave.clientWidth || !duration) return;
    const style = getComputedStyle(document.documentElement);
    const width = (wave.width = wave.clientWidth * devicePixelRatio);
    const height = (wave.height = wave.clientHeight * devicePixelRatio);
    const pen = wave.getContext("2d");
    const x = (seconds) => (seconds / duration) * width;
    const colour = (from) => style.getPropertyValue(from <= x(audio.currentTime) ? "--accent" : "--wave");
    const block = (from, wide, tall) => {
      pen.fillStyle = colour(from + wide);
      pen.fillRect(from, (height - tall) / 2, Math.max(devicePixelRatio, wide), tall);
    };
    if (this.here) {
      const { start, end } = { ...this.here, ...this.held?.times };
      pen.fillStyle = style.getPropertyValue("--playing");
      pen.fillRect(x(start), 0, x(end) - x(start), height);
    }
    const bar = width / BARS;
    if (this.bars) this.bars.forEach((peak, i) => block(i * bar, 0.7 * bar, Math.max(devicePixelRatio, 0.9 * peak * height)));
    else for (const { start, end } of this.segments) block(x(start), x(end) - x(start) - devicePixelRatio, 0.4 * height);
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.fillRect(x(audio.currentTime), 0, 2 * devicePixelRatio, height);
  }
}

// The transcript and its sound: words that can be clicked, a waveform, and where both stand.
import { peaks } from "./audio.js";

const BARS = 400;

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${(seconds % 60).toFixed(1).padStart(4, "0")}` : seconds.toFixed(1);
}

export class Player {
  constructor(audio, canvas, place) {
    Object.assign(this, { audio, canvas, place, words: [], buttons: [], bars: null, until: Infinity });
    audio.addEventListener("play", () => this.follow());
    audio.addEventListener("seeked", () => this.follow());
    audio.addEventListener("error", () => audio.src && (audio.hidden = true)); // a format that only the server reads
    canvas.addEventListener("click", (event) => {
      this.until = Infinity;
      audio.currentTime = (event.offsetX / canvas.clientWidth) * this.duration;
    });
    place.addEventListener("keydown", (event) => this.move(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Show a transcript of the audio in a blob. */
  load(blob, transcript) {
    URL.revokeObjectURL(this.audio.src);
    this.audio.hidden = false;
    this.audio.src = URL.createObjectURL(blob);
    Object.assign(this, { words: transcript.words, duration: transcript.duration, bars: null, until: Infinity });
    this.write(transcript.segments);
    document.getElementById("raw").hidden = transcript.calibrated;
    this.canvas.hidden = true;
    peaks(blob, BARS).then((bars) => {
      this.canvas.hidden = bars === null;
      this.bars = bars;
      this.draw();
    });
  }

  write(segments) {
    this.buttons = this.words.map((word, i) => this.button(word, i));
    const end = (segment) => this.words.findLastIndex((word) => word.start < segment.end) + 1;
    let first = 0;
    this.place.replaceChildren(
      ...segments.map((segment) => {
        const paragraph = document.createElement("p");
        paragraph.append(...this.buttons.slice(first, end(segment)).flatMap((button) => [button, " "]));
        first = end(segment);
        return paragraph;
      }),
    );
  }

  button(word, i) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = `word ${word.confidence >= 0.9 ? "high" : word.confidence >= 0.6 ? "middle" : "low"}`;
    button.textContent = word.word;
    button.dataset.start = clock(word.start);
    button.title = `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s, confidence ${Math.round(100 * word.confidence)} %`;
    button.tabIndex = i ? -1 : 0; // one stop of the Tab key for all words; arrows go on from there
    button.addEventListener("click", () => this.playWord(word));
    return button;
  }

  playWord(word) {
    this.audio.currentTime = word.start;
    this.until = word.end;
    this.audio.play();
  }

  move(event) {
    const at = this.buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: this.buttons.length - 1 }[event.key];
    if (at < 0 || !this.buttons[to]) return;
    event.preventDefault();
    this.buttons[at].tabIndex = -1;
    this.buttons[to].tabIndex = 0;
    this.buttons[to].focus();
  }

  /** Mark what is heard, from frame to frame while the sound runs. */
  follow() {
    const now = this.audio.currentTime;
    if (now >= this.until) {
      this.until = Infinity;
      this.audio.pause();
    }
    this.words.forEach((word, i) => this.buttons[i].classList.toggle("playing", word.start <= now && now < word.end && now > 0));
    this.draw();
    if (!this.audio.paused) requestAnimationFrame(() => this.follow());
  }

  draw() {
    if (!this.bars || !this.canvas.clientWidth) return;
    const { canvas, audio, duration } = this;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const width = (canvas.width = canvas.clientWidth * devicePixelRatio);
    const height = (canvas.height = canvas.clientHeight * devicePixelRatio);
    const pen = canvas.getContext("2d");
    const x = (seconds) => (seconds / duration) * width;
    for (const word of this.words) {
      const playing = word.start <= audio.currentTime && audio.currentTime < word.end && audio.currentTime > 0;
      if (!playing) continue;
      pen.fillStyle = colour("playing");
      pen.fillRect(x(word.start), 0, x(word.end) - x(word.start), height);
    }
    const bar = width / this.bars.length;
    this.bars.forEach((peak, i) => {
      const tall = Math.max(devicePixelRatio, 0.9 * peak * height);
      pen.fillStyle = colour((i + 1) * bar <= x(audio.currentTime) ? "accent" : "wave");
      pen.fillRect(i * bar, (height - tall) / 2, Math.max(1, 0.7 * bar), tall);
    });
    pen.fillStyle = colour("ink");
    pen.fillRect(x(audio.currentTime), 0, 2 * devicePixelRatio, height);
  }
}

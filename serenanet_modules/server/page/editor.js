// The words on the page: heard, read, corrected. One word has the cursor; tools and keys work on it and its segment.
import { clock, make } from "./dom.js";
import { onLanguage, say } from "./say.js";

const DOUBTFUL = 0.6;
const CLEAR = 0.9;

const level = ({ confidence }) => (confidence >= CLEAR ? "high" : confidence >= DOUBTFUL ? "middle" : "low");

export class Editor {
  /** `place` is a list; `hear` plays a word or segment, `onChange` is told when something has changed. */
  constructor(place, hear, onChange) {
    Object.assign(this, { place, hear, onChange, transcript: null, rows: [], drawn: [], at: 0, word: 0, playing: null, now: 0, typing: null, here: null, stops: [] });
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("focusin", (event) => this.moveTo(event.target));
    onLanguage(() => this.show(this.transcript));
  }

  /** Show a transcript from its beginning. */
  show(transcript) {
    Object.assign(this, { transcript, rows: [], drawn: [], at: 0, word: 0, playing: null, now: 0, typing: null, here: null, stops: [] });
    this.place.replaceChildren();
    if (transcript) this.draw();
  }

  // Drawing ----------------------------------------------------------------------------------------------------------

  /** Bring the page to the transcript's state; segments that have not changed stay as they are. */
  draw() {
    const { segments } = this.transcript;
    const known = new Map(this.drawn.map((segment, i) => [segment, this.rows[i]]));
    this.rows = segments.map((segment) => known.get(segment) ?? this.row(segment));
    this.drawn = segments;
    this.fill();
    this.rows.forEach((row, i) => this.name(row, segments[i], i + 1));
    this.at = Math.max(0, Math.min(this.at, segments.length - 1));
    this.word = Math.max(0, Math.min(this.word, this.words().length - 1));
    this.mark();
    this.playing = null;
    this.onChange();
  }

  /** Put rows where they belong, and touch no others: one may be about to be clicked. */
  fill() {
    const wanted = new Set(this.rows);
    for (const old of [...this.place.children]) if (!wanted.has(old)) old.remove();
    let next = this.place.firstElementChild;
    for (const row of this.rows) {
      if (row === next) next = next.nextElementSibling;
      else this.place.insertBefore(row, next);
    }
  }

  row(segment) {
    const time = make("button", { type: "button", className: "time" }, clock(segment.start));
    const tick = make("input", { type: "checkbox", className: "tick", checked: segment.checked, tabIndex: -1 });
    const text = make("p", { className: "words" }, ...segment.words.flatMap((word) => [this.button(word), " "]));
    if (!segment.words.length) text.append(make("button", { type: "button", className: "word empty", tabIndex: -1 }, segment.text || say("empty")));
    const row = make("li", { className: segment.checked ? "segment checked" : "segment" }, make("div", { className: "margin" }, time, tick), text);
    const place = () => this.rows.indexOf(row);
    time.tabIndex = -1;
    time.addEventListener("click", () => this.hear(this.transcript.segments[place()]));
    tick.addEventListener("change", () => this.change(() => this.transcript.check(place(), tick.checked), place()));
    text.addEventListener("click", ({ target }) => target.matches(".word") && this.play(target));
    text.addEventListener("dblclick", () => this.edit());
    return row;
  }

  button(word) {
    const about = { start: word.start.toFixed(2), end: word.end.toFixed(2), confidence: Math.round(100 * word.confidence) };
    return make(
      "button",
      {
        type: "button",
        className: word.confidence === 1 ? "word hand" : `word ${level(word)}`,
        title: say(word.confidence === 1 ? "word_by_hand" : "word_title", about),
        tabIndex: -1,
      },
      word.word,
    );
  }

  name(row, segment, number) {
    if (row.number === number) return;
    row.number = number;
    const values = { number, start: clock(segment.start) };
    const label = (element, key) => element.setAttribute("aria-label", say(key, values));
    label(row, "segment");
    label(row.querySelector(".time"), "play_segment");
    label(row.querySelector(".tick"), "is_checked");
    row.querySelector(".tick").title = say("checked_key");
  }

  /** One stop of the Tab key for all words: the one with the cursor. */
  mark() {
    for (const old of [this.here, ...this.stops]) old?.classList.remove("current");
    for (const old of this.stops) old.tabIndex = -1;
    this.here = this.rows[this.at];
    this.stops = this.here ? [this.words()[this.word], ...this.here.querySelectorAll(".time, .tick")] : [];
    for (const stop of this.stops) stop.tabIndex = 0;
    for (const one of [this.here, this.stops[0]]) one?.classList.add("current");
  }

  words(at = this.at) {
    return [...(this.rows[at]?.querySelectorAll(".word") ?? [])];
  }

  /** Mark what is heard at a time. */
  follow(now) {
    this.now = now;
    if (!this.transcript) return;
    const i = this.transcript.segments.findLastIndex((segment) => segment.start <= now);
    const word = this.transcript.segments[i]?.words.findLastIndex((one) => one.start <= now && now < one.end) ?? -1;
    const button = now > 0 && word >= 0 ? this.words(i)[word] : null;
    if (button === this.playing) return;
    this.playing?.classList.remove("playing");
    button?.classList.add("playing");
    this.playing = button;
  }

  // Moving -----------------------------------------------------------------------------------------------------------

  moveTo(target) {
    const row = target.closest(".segment");
    const at = this.rows.indexOf(row);
    if (at < 0 || (at === this.at && !target.matches(".word")) || this.typing?.box.contains(target)) return;
    this.at = at;
    this.word = Math.max(0, this.words().indexOf(target));
    this.mark();
    this.onChange();
  }

  go(at, word = 0) {
    if (at < 0 || at >= this.rows.length) return;
    this.at = at;
    this.word = Math.max(0, Math.min(word, this.words().length - 1));
    this.mark();
    this.words()[this.word].focus();
    this.onChange();
  }

  step(by) {
    const next = this.word + by;
    if (next < 0) this.go(this.at - 1, Infinity);
    else if (next >= this.words().length) this.go(this.at + 1);
    else this.go(this.at, next);
  }

  /** Go to the next word that the recogniser is not sure of, and play it. */
  doubtful() {
    this.settle();
    const { segments } = this.transcript;
    for (let n = 0; n <= segments.length; n++) {
      const at = (this.at + n) % segments.length;
      const from = n ? 0 : this.word + 1;
      const word = segments[at].words.findIndex((one, i) => i >= from && one.confidence < DOUBTFUL);
      if (word < 0) continue;
      this.go(at, word);
      return this.hear(segments[at].words[word]);
    }
  }

  play(button) {
    button.focus();
    this.moveTo(button); // not every browser gives a clicked button the cursor
    const word = this.transcript.segments[this.at].words[this.word];
    this.hear(word ?? this.transcript.segments[this.at]);
  }

  // Changing ---------------------------------------------------------------------------------------------------------

  change(work, at, word) {
    this.settle();
    if (work() === false) return;
    this.draw();
    this.go(Math.min(at ?? this.at, this.rows.length - 1), word ?? this.word);
  }

  split() {
    this.settle();
    this.change(() => this.transcript.split(this.at, this.word), this.at + 1, 0);
  }

  merge() {
    this.change(() => this.transcript.merge(this.at));
  }

  check() {
    this.change(() => this.transcript.check(this.at));
  }

  checkAll() {
    this.change(() => this.transcript.checkAll());
  }

  /** Let the segment begin or end at other seconds. */
  move(times) {
    this.change(() => this.transcript.write(this.at, times));
  }

  undo() {
    this.change(() => this.transcript.undo());
  }

  redo() {
    this.change(() => this.transcript.redo());
  }

  // Typing -----------------------------------------------------------------------------------------------------------

  /** Let the text of the segment be typed, from the word with the cursor on, and its times. */
  edit() {
    this.settle();
    const { at } = this;
    const segment = this.transcript.segments[at];
    if (!segment) return;
    const area = make("textarea", { value: segment.text, rows: 1, spellcheck: false });
    const [start, end] = ["start", "end"].map((side) => this.timeField(segment[side]));
    const times = [["starts", start], ["ends", end]].map(([key, field]) => make("label", {}, say(key), " ", field));
    const box = make("div", { className: "editing" }, area, make("div", { className: "row" }, ...times));
    this.typing = { box, area, start, end };
    const before = segment.words.slice(0, this.word).reduce((sum, word) => sum + word.word.length + 1, 0);
    const text = this.rows[at].querySelector(".words");
    area.setAttribute("aria-label", say("text_of", { number: at + 1 }));
    text.hidden = true;
    text.after(box);
    area.addEventListener("input", () => this.fit());
    box.addEventListener("keydown", (event) => this.typed(event));
    box.addEventListener("focusout", ({ relatedTarget }) => this.typing?.box === box && !box.contains(relatedTarget) && (this.settle(), this.draw()));
    for (const name of ["keyup", "click"]) area.addEventListener(name, () => this.typing && this.followTyping());
    this.fit();
    area.focus();
    area.setSelectionRange(before, before);
  }

  timeField(seconds) {
    return make("input", { type: "number", min: 0, max: Math.ceil(this.transcript.duration), step: 0.05, defaultValue: seconds.toFixed(2) });
  }

  fit() {
    const { area } = this.typing;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 4}px`;
  }

  /** Let the cursor be on the word that is typed. */
  followTyping() {
    const { value, selectionStart } = this.typing.area;
    this.word = value.slice(0, selectionStart).trimStart().split(/\s+/).length - 1;
    this.onChange();
  }

  /** What is being typed: the text, and times that are not as they were. */
  typedValues() {
    const { area, start, end } = this.typing;
    const time = (field) => (field.value === field.defaultValue || field.value === "" ? undefined : Number(field.value));
    return { text: area.value, start: time(start), end: time(end) };
  }

  typed(event) {
    event.stopPropagation();
    const { at } = this;
    const segment = this.transcript.segments[at];
    if (event.key === "Enter" && event.ctrlKey) this.split();
    else if (event.key === "Enter") {
      this.settle(true);
      this.draw();
      this.go(Math.min(at + 1, this.rows.length - 1));
    } else if (event.key === "Escape") {
      this.close();
      this.change(() => true);
    } else if (event.key === " " && event.ctrlKey) {
      const { start, end } = this.typedValues();
      this.hear({ start: start ?? segment.start, end: end ?? segment.end });
    } else return;
    event.preventDefault();
  }

  /** Show the words again, not what is typed. */
  close() {
    const { box } = this.typing;
    this.typing = null; // before it loses the cursor, which settles, too
    this.rows[this.at].querySelector(".words").hidden = false;
    box.remove();
  }

  /** Take what is being typed, and mark it as checked if that is said. */
  settle(checked = false) {
    if (!this.typing) return;
    const { at } = this;
    const values = this.typedValues();
    this.followTyping();
    this.close();
    this.transcript.write(at, { ...values, checked });
    if (this.transcript.segments !== this.drawn) this.draw();
  }

  key(event) {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const work = (plain ? this.plainKeys() : this.heldKeys(event))[event.key.toLowerCase()];
    if (!work) return;
    event.preventDefault();
    work();
  }

  plainKeys() {
    return {
      arrowleft: () => this.step(-1),
      arrowright: () => this.step(1),
      arrowup: () => this.go(this.at - 1),
      arrowdown: () => this.go(this.at + 1),
      home: () => this.go(0),
      end: () => this.go(this.rows.length - 1),
      p: () => this.hear(this.transcript.segments[this.at]),
      e: () => this.edit(),
      f2: () => this.edit(),
      s: () => this.split(),
      m: () => this.merge(),
      c: () => this.check(),
      i: () => this.move({ start: this.now }),
      o: () => this.move({ end: this.now }),
      n: () => this.doubtful(),
    };
  }

  heldKeys({ shiftKey, altKey }) {
    if (altKey) return {};
    return { z: () => (shiftKey ? this.redo() : this.undo()), y: () => this.redo() };
  }
}

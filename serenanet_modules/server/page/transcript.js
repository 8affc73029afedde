// A transcript that can be changed, and changed back. Segments are values: what changes is another object.
import { placed, retimed } from "./retime.js";

const MOST = 500; // changes that can be taken back
const LEAST = 0.05; // seconds of a segment

/** Segments with their words out of what the server has said. */
function segmented({ segments, words }) {
  let first = 0;
  return segments.map(({ start, end, text }) => {
    const last = words.findLastIndex((word) => word.start < end) + 1;
    const own = words.slice(first, last);
    first = Math.max(first, last);
    return { start, end, text, words: own, cut: false, checked: false };
  });
}

const joined = (words) => words.map((word) => word.word).join(" ");

export class Transcript {
  constructor(found) {
    this.duration = found.duration;
    this.calibrated = found.calibrated;
    this.segments = segmented(found);
    this.saved = this.segments;
    this.past = [];
    this.future = [];
  }

  /** Whether there is something that nobody has saved. */
  get changed() {
    return this.segments !== this.saved;
  }

  get checked() {
    return this.segments.filter((segment) => segment.checked);
  }

  get text() {
    return this.segments.map((segment) => segment.text).filter(Boolean).join(" ");
  }

  /** Put other segments in the place of `count` of them. */
  put(at, count, ...others) {
    this.past = [...this.past.slice(1 - MOST), this.segments];
    this.future = [];
    this.segments = this.segments.toSpliced(at, count, ...others);
  }

  /** Give a segment another text or other times, mark it as checked if that is said; says whether something changed. */
  write(at, { text = this.segments[at].text, start, end, checked = false }) {
    const segment = this.segments[at];
    const plain = text.trim().replace(/\s+/g, " ");
    let changed = { ...segment, checked: checked || segment.checked };
    if (plain !== segment.text) changed = { ...changed, text: plain, words: retimed(segment, plain) };
    const times = this.between(at, start ?? segment.start, end ?? segment.end);
    if (times) changed = { ...changed, ...times, cut: true, words: placed(changed.words, times) };
    if (!Object.keys(changed).some((key) => changed[key] !== segment[key])) return false;
    this.put(at, 1, changed);
    return true;
  }

  /** Other times of a segment, no further than its neighbours; null if they are what it has, or none. */
  between(at, start, end) {
    const { segments, duration } = this;
    const here = segments[at];
    const from = start === here.start ? start : Math.max(start, segments[at - 1]?.end ?? 0);
    const to = end === here.end ? end : Math.min(end, segments[at + 1]?.start ?? duration);
    const same = from === here.start && to === here.end;
    return same || to - from < LEAST ? null : { start: from, end: to };
  }

  check(at, checked = !this.segments[at].checked) {
    if (this.segments[at].checked !== checked) this.put(at, 1, { ...this.segments[at], checked });
  }

  checkAll() {
    this.put(0, this.segments.length, ...this.segments.map((segment) => ({ ...segment, checked: true })));
  }

  /** Cut a segment before one of its words; says whether there is something to cut. */
  split(at, word) {
    const segment = this.segments[at];
    if (!(word > 0 && word < segment.words.length)) return false;
    const [left, right] = [segment.words.slice(0, word), segment.words.slice(word)];
    this.put(
      at,
      1,
      { ...segment, end: left.at(-1).end, text: joined(left), words: left },
      { ...segment, start: right[0].start, text: joined(right), words: right },
    );
    return true;
  }

  /** Make one of a segment and the one behind it; says whether there is one. */
  merge(at) {
    const [first, second] = this.segments.slice(at, at + 2);
    if (!second) return false;
    this.put(at, 2, {
      start: first.start,
      end: second.end,
      text: [first.text, second.text].filter(Boolean).join(" "),
      words: [...first.words, ...second.words],
      cut: first.cut || second.cut,
      checked: first.checked && second.checked,
    });
    return true;
  }

  undo() {
    if (!this.past.length) return false;
    this.future = [...this.future, this.segments];
    this.segments = this.past.at(-1);
    this.past = this.past.slice(0, -1);
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past = [...this.past, this.segments];
    this.segments = this.future.at(-1);
    this.future = this.future.slice(0, -1);
    return true;
  }

  /** What the server's export and corrections take; all segments, or those that are checked. */
  plain(all = true) {
    const part = ({ start, end, text, words, cut, checked }) =>
      ({ start, end, text, words: words.map(asked), cut, checked: all || checked });
    const parts = this.segments.map(part);
    return { duration: this.duration, segments: parts };
  }
}

const asked = ({ word, start, end, confidence }) => ({ word, start, end, confidence });

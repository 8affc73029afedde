// Times for the words of a text that somebody has corrected.

/** Pairs of places of words that two lists have in common, in order: a longest common subsequence. */
function common(before, after) {
  const longest = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      longest[i][j] =
        before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const pairs = [];
  for (let i = 0, j = 0; i < before.length && j < after.length; ) {
    if (before[i] === after[j]) pairs.push([i++, j++]);
    else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
    else j++;
  }
  return pairs;
}

/** Words from one second to another, each as long as its share of the letters. */
function spread(texts, start, end) {
  const all = texts.reduce((sum, text) => sum + text.length, 0);
  let at = start;
  return texts.map((word) => {
    const from = at;
    at = Math.min(end, from + ((end - start) * word.length) / all);
    return { word, start: from, end: at, confidence: 1 };
  });
}

/** Words within other times: cut where they lie partly outside, and all spread anew if one would lie outside as a whole. */
export function placed(words, { start, end }) {
  const inside = (seconds) => Math.min(end, Math.max(start, seconds));
  const cut = words.map((word) => ({ ...word, start: inside(word.start), end: inside(word.end) }));
  if (cut.every((word) => word.end > word.start)) return cut;
  const found = spread(words.map(({ word }) => word), start, end);
  return found.map((place, i) => ({ ...words[i], start: place.start, end: place.end }));
}

/** The words of a text that stands in the place of a segment's: those that were there keep their times. */
export function retimed(segment, text) {
  const texts = text.split(/\s+/).filter(Boolean);
  const old = segment.words;
  const pairs = [...common(old.map((word) => word.word), texts), [old.length, texts.length]];
  const found = [];
  let [i, j] = [0, 0];
  for (const [kept, place] of pairs) {
    const [gone, come] = [old.slice(i, kept), texts.slice(j, place)];
    if (gone.length === come.length) found.push(...come.map((word, n) => ({ ...gone[n], word, confidence: 1 })));
    else if (come.length) {
      const start = gone[0]?.start ?? old[i - 1]?.end ?? segment.start;
      const end = gone.at(-1)?.end ?? old[kept]?.start ?? segment.end;
      found.push(...spread(come, start, Math.max(start, end)));
    }
    if (kept < old.length) found.push(old[kept]);
    [i, j] = [kept + 1, place + 1];
  }
  return found;
}

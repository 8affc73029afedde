// What a recording looks like.

const LARGEST = 40 * 2 ** 20; // bytes of a file that is decoded in memory

/** The largest amplitude of each of `count` equal parts of a file, the loudest 1; null where it is too large or no browser's kind. */
export async function peaks(blob, count) {
  if (blob.size > LARGEST) return null;
  let samples;
  try {
    const buffer = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(await blob.arrayBuffer());
    samples = buffer.getChannelData(0);
  } catch {
    return null;
  }
  const found = new Float32Array(count);
  samples.forEach((x, i) => {
    const at = Math.floor((i / samples.length) * count);
    found[at] = Math.max(found[at], Math.abs(x));
  });
  const loudest = Math.max(...found) || 1;
  return found.map((x) => x / loudest);
}

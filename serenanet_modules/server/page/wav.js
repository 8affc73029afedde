// Samples as bytes.

export const RATE = 16000;

/** Float samples as 16-bit little-endian ones. */
export function pcm(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((x, i) => view.setInt16(2 * i, Math.round(32767 * Math.max(-1, Math.min(1, x))), true));
  return view.buffer;
}

/** A 16-bit wav file of samples at 16 kHz. */
export function wav(samples) {
  const data = pcm(samples);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + data.byteLength, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, RATE, true);
  header.setUint32(28, 2 * RATE, true); // bytes per second
  header.setUint16(32, 2, true); // bytes per sample
  header.setUint16(34, 16, true); // bits per sample
  text(36, "data");
  header.setUint32(40, data.byteLength, true);
  return new Blob([header, data], { type: "audio/wav" });
}

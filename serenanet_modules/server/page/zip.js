// Files as one: a zip archive without compression (PKWARE's APPNOTE, 4.3), as audio has it already.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
const UTF8 = 0x800; // the flag that says how names are written
const STAMP = 0x00210000; // 1 January 1980, midnight: archives of the same files are the same

/** The CRC-32 of a blob, of which a piece at a time is in memory. */
async function crc(blob) {
  const reader = blob.stream().getReader();
  let sum = -1;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ~sum >>> 0;
    for (const byte of value) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  }
}

/** Numbers of so many bytes each, one after another. */
function fields(...pairs) {
  const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of pairs) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view;
}

/** An archive of `{name: text or Blob}`, less than 4 GB. */
export async function zip(files) {
  const [parts, index] = [[], []];
  let at = 0;
  for (const [name, content] of Object.entries(files)) {
    const [blob, title] = [new Blob([content]), new TextEncoder().encode(name)];
    const sum = await crc(blob);
    const about = [[20, 2], [UTF8, 2], [0, 2], [STAMP, 4], [sum, 4], [blob.size, 4], [blob.size, 4], [title.length, 2], [0, 2]];
    const local = fields([0x04034b50, 4], ...about);
    parts.push(local, title, blob);
    index.push(fields([0x02014b50, 4], [20, 2], ...about, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]), title);
    at += local.byteLength + title.length + blob.size;
  }
  const size = index.reduce((sum, part) => sum + part.byteLength, 0);
  const count = Object.keys(files).length;
  const end = fields([0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [size, 4], [at, 4], [0, 2]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}

// What leaves the page: files, and corrections with their audio.
import { exported, keep } from "./api.js";
import { download } from "./dom.js";
import { say } from "./say.js";
import { zip } from "./zip.js";

const stem = (name) => name.replace(/\.[^.]*$/, "") || "transcript";

/** Save a transcript as a file of a format; `suffix` ends its name. */
export async function saveAs(job, format, suffix, token) {
  download(await exported(job.transcript.plain(), format, job.name, token), `${stem(job.name)}.${suffix}`);
}

/** Keep what is checked, on the server if it does that, else as an archive; says what came of it. */
export async function saveCorrections(job, onServer, token) {
  const { transcript } = job;
  if (!transcript.checked.length) throw new Error(say("save_none"));
  const said = await (onServer ? onto : archive)(job, transcript.plain(false), token);
  transcript.saved = transcript.segments;
  return said;
}

async function onto(job, transcript, token) {
  return say("saved_server", await keep(job.blob, job.name, transcript, token));
}

async function archive(job, transcript, token) {
  const plain = { ...transcript, segments: transcript.segments.map((segment) => ({ ...segment, words: [] })) };
  const annotations = await exported(plain, "eaf", job.name, token);
  const name = `${stem(job.name)}.zip`;
  download(await zip({ [job.name]: job.blob, [`${stem(job.name)}.eaf`]: annotations }), name);
  return say("saved_zip", { name });
}

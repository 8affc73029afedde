// The page: a file or a recording in, a transcript out.
import { fetchModel, LiveSession, transcribe } from "./api.js";
import { Recorder, wav } from "./audio.js";
import { Player } from "./player.js";

const $ = (id) => document.getElementById(id);
const player = new Player($("audio"), $("wave"), $("words"));
const state = { token: sessionStorage.getItem("token") ?? "", model: null, recorder: null, retry: null, transcript: null, name: "" };

function say(status, { error = "", progress = null } = {}) {
  $("status").textContent = status;
  $("error").textContent = error;
  $("progress").hidden = progress === null;
  if (progress >= 1) $("progress").removeAttribute("value"); // sent; how long the rest takes is not known
  else if (progress !== null) $("progress").value = progress;
}

function fail(error, retry = null) {
  say("", { error: error.message });
  $("partial").textContent = "";
  if (error.status !== 401) return;
  state.retry = retry;
  $("access").hidden = false;
  $("token").focus();
}

function busy(yes) {
  for (const id of ["file", "record"]) $(id).disabled = yes;
}

// What the server can do -------------------------------------------------------------------------------------------

async function open() {
  const token = state.token;
  say("Connecting…");
  try {
    const model = await fetchModel(token);
    if (token !== state.token) return false; // another one has been given meanwhile
    state.model = model;
    $("model").textContent = `${model.id}, language ${model.language}`;
    $("live-choice").hidden = !model.streaming;
    $("access").hidden = true;
    say("");
    return true;
  } catch (error) {
    if (token === state.token) fail(error);
    return false;
  }
}

$("access").addEventListener("submit", async (event) => {
  event.preventDefault();
  state.token = $("token").value;
  sessionStorage.setItem("token", state.token);
  const retry = state.retry;
  if ((await open()) && retry) retry();
});

// Files ------------------------------------------------------------------------------------------------------------

async function send(blob, name) {
  busy(true);
  $("result").hidden = true;
  try {
    const most = state.model?.max_upload_bytes ?? Infinity;
    if (blob.size > most) throw new Error(`The file is larger than ${Math.floor(most / 2 ** 20)} MB; send it in parts.`);
    say("Uploading…", { progress: 0 });
    const sent = (share) => say(share < 1 ? "Uploading…" : "Transcribing…", { progress: share });
    show(await transcribe(blob, name, state.token, sent), blob, name);
  } catch (error) {
    fail(error, () => send(blob, name));
  } finally {
    busy(false);
    $("file").value = "";
  }
}

function show(transcript, blob, name) {
  state.transcript = transcript;
  state.name = name.replace(/\.[^.]*$/, "") || "transcript";
  $("partial").textContent = "";
  $("result").hidden = false;
  player.load(blob, transcript);
  const heard = transcript.words.length;
  say(heard ? `${heard} ${heard === 1 ? "word" : "words"} in ${transcript.duration.toFixed(1)} s of audio.` : "Nothing was heard.");
}

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) send(file, file.name);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("source").classList.toggle("over", name === "dragover");
    const [file] = event.dataTransfer?.files ?? [];
    if (name === "drop" && file && !$("file").disabled) send(file, file.name);
  });
}

// Microphone -------------------------------------------------------------------------------------------------------

$("record").addEventListener("click", () => (state.recorder ? stopRecording() : startRecording()));

async function startRecording() {
  const live = state.model?.streaming && $("live").checked;
  let session = null;
  busy(true);
  try {
    session = live ? await LiveSession.open(state.token, (text) => ($("partial").textContent = text)) : null;
    state.recorder = await Recorder.start((samples) => session?.send(samples));
    state.session = session;
    session?.result.then(
      () => state.session === session && stopRecording(), // the server has heard enough
      (error) => state.session === session && (dropRecording(), fail(error)),
    );
    $("result").hidden = true;
    $("file").disabled = true;
    $("record").textContent = "Stop";
    $("record").classList.add("on");
    say("Recording…");
  } catch (error) {
    session?.close();
    fail(error);
    $("file").disabled = false;
  } finally {
    $("record").disabled = false;
  }
}

function dropRecording() {
  const recorder = state.recorder;
  state.recorder = state.session = null;
  $("record").textContent = "Record";
  $("record").classList.remove("on");
  busy(false);
  return recorder?.stop();
}

async function stopRecording() {
  const session = state.session;
  const samples = await dropRecording();
  if (!session) return send(wav(samples), "recording.wav");
  busy(true);
  say("Transcribing…", { progress: 1 });
  try {
    show(await session.finish(), wav(samples), "recording.wav");
    if (session.reason) fail(session.reason);
  } catch (error) {
    fail(error);
  } finally {
    busy(false);
  }
}

// Results ----------------------------------------------------------------------------------------------------------

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(state.transcript.text);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren($("words")); // browsers copy for themselves on secure pages only
    say(document.execCommand("copy") ? "Copied." : "Press Ctrl+C to copy what is selected.");
  }
});

for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => {
    const format = button.dataset.format;
    const text = format === "txt" ? `${state.transcript.text}\n` : state.transcript[format];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = `${state.name}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

open();

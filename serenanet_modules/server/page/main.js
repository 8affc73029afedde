// The page: recordings in, transcripts out, corrected.
import { fetchModels } from "./api.js";
import { $ } from "./dom.js";
import { Editor } from "./editor.js";
import { Player } from "./player.js";
import { Queue } from "./queue.js";
import { QueueList } from "./queue_list.js";
import { Recording } from "./recording.js";
import { saveAs, saveCorrections } from "./save.js";
import { current, onLanguage, say, speak, translate } from "./say.js";

const TOKEN = "token";
const state = { token: sessionStorage.getItem(TOKEN) ?? "", models: [], job: null };

const model = () => state.models.find((one) => one.id === $("model").value) ?? {};
const server = () => ({ model: model().id ?? "", token: state.token, streaming: model().streaming, most: model().max_upload_bytes ?? Infinity, hotwords: $("hotwords").value.trim() });

function show(status) {
  $("status").textContent = status;
  $("error").textContent = "";
}

function fail(error) {
  show("");
  if (error.wantsToken) askToken();
  else $("error").textContent = error.message;
}

// The server ---------------------------------------------------------------------------------------------------------

async function connect() {
  const { token } = state;
  show(say("connecting"));
  try {
    const models = await fetchModels(token);
    if (token !== state.token) return; // another one has been given meanwhile
    state.models = models;
    $("model").replaceChildren(...models.map(({ id, language }) => new Option(`${id} (${language})`, id)));
    $("access").hidden = true;
    $("models").hidden = false;
    chooseModel();
    show("");
    queue.release();
  } catch (error) {
    if (token === state.token) fail(error);
  }
}

function chooseModel() {
  $("live-choice").hidden = !model().streaming;
  $("save").dataset.say = model().corrections ? "save_server" : "save_zip";
  $("save-about").dataset.say = model().corrections ? "save_about_server" : "save_about_zip";
  translate($("result"));
}

function askToken() {
  $("access").hidden = false;
  $("access-wrong").hidden = !state.token;
  $("token").setAttribute("aria-invalid", Boolean(state.token));
  $("token").focus();
}

$("model").addEventListener("change", chooseModel);
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value;
  sessionStorage.setItem(TOKEN, state.token);
  connect();
});

// Recordings ---------------------------------------------------------------------------------------------------------

const queue = new Queue(server, (job) => changed(job), fail);
const list = new QueueList($("queue"), queue, (text) => ($("announced").textContent = text), open);
new Recording({ button: $("record"), live: $("live"), text: $("partial") }, server, { onSound: (...sound) => queue.add(...sound), show, fail });

function changed(job) {
  list.draw(job);
  $("queued").hidden = !queue.jobs.length;
  if (job.state === "done" && !state.job) open(job);
  if (job === state.job && !queue.jobs.includes(job)) open(null);
}

function add(files) {
  for (const file of files) queue.add(file, file.name);
}

$("file").addEventListener("change", () => {
  add($("file").files);
  $("file").value = "";
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("source").classList.toggle("over", name === "dragover");
    if (name === "drop") add(event.dataTransfer?.files ?? []);
  });
}

// The open transcript ------------------------------------------------------------------------------------------------

const parts = { audio: $("audio"), wave: $("wave"), play: $("play"), back: $("back"), slider: $("slider"), time: $("time"), speed: $("speed"), silence: $("silence") };
const player = new Player(parts, (now) => editor.follow(now), (times) => editor.move(times));
const editor = new Editor($("segments"), (span) => player.hear(span), tools);

function open(job) {
  state.job = job;
  list.choose(job);
  $("result").hidden = !job;
  editor.show(null);
  if (!job) return player.audio.pause();
  $("title").textContent = job.name;
  $("raw").hidden = job.transcript.calibrated;
  $("saved").textContent = "";
  player.load(job.blob, job.transcript.duration);
  editor.show(job.transcript);
}

function tools() {
  const transcript = state.job?.transcript;
  if (!transcript) return;
  const { segments, past, future, checked } = transcript;
  const here = segments[editor.at];
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  $("split").disabled = !(editor.word > 0);
  $("merge").disabled = editor.at + 1 >= segments.length;
  for (const name of ["edit", "check"]) $(name).disabled = !here;
  $("check").setAttribute("aria-pressed", Boolean(here?.checked));
  $("save-count").textContent = say("save_count", { checked: checked.length, all: segments.length });
  player.mark(segments, here);
}

for (const name of ["undo", "redo", "edit", "split", "merge", "check", "doubtful"]) {
  $(name).addEventListener("mousedown", (event) => event.preventDefault()); // the cursor stays where it is
  $(name).addEventListener("click", () => editor[name]());
}
$("check-all").addEventListener("click", () => editor.checkAll());

async function saving(work) {
  $("saved").textContent = say("saving");
  try {
    $("saved").textContent = await work();
  } catch (error) {
    $("saved").textContent = error.message;
    if (error.wantsToken) fail(error);
  }
}

$("download").addEventListener("click", () => {
  const [chosen] = $("format").selectedOptions;
  saving(async () => (await saveAs(state.job, chosen.value, chosen.textContent, state.token)) ?? "");
});
$("save").addEventListener("click", () => saving(() => saveCorrections(state.job, model().corrections, state.token)));
$("copy").addEventListener("click", () => saving(copy));

async function copy() {
  try {
    await navigator.clipboard.writeText(state.job.transcript.text);
  } catch {
    getSelection().selectAllChildren($("segments")); // browsers copy for themselves on secure pages only
    if (!document.execCommand("copy")) return say("press_copy");
  }
  return say("copied");
}

// Keys and languages -------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox], [type=range]), textarea, select");
  if (event.key === " " && event.ctrlKey && state.job) player.toggle();
  else if (event.key === "?" && !typing) $("keys").showModal();
  else return;
  event.preventDefault();
});
$("help").addEventListener("click", () => $("keys").showModal());
window.addEventListener("beforeunload", (event) => queue.jobs.some((job) => job.transcript?.changed) && event.preventDefault());

for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => speak(button.dataset.language));
function languages() {
  for (const button of document.querySelectorAll("[data-language]")) button.setAttribute("aria-pressed", button.dataset.language === current());
}
onLanguage(languages);

translate();
languages();
connect();

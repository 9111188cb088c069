// The chat page: one conversation kept in memory, streamed over the server's own OpenAI API.
"use strict";

const $ = (id) => document.getElementById(id);
const turns = [];            // {role, content} as the API takes them
let model = null;            // name of the served model
let running = null;          // AbortController of the answer that streams now
let forgotten = 0;           // oldest turns that no longer fit into the model's context

// --- server ---------------------------------------------------------------------------------------------------

function headers() {
  const key = $("key").value.trim();
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}

async function connect() {
  try {
    const ready = await fetch("/v1/health/ready");
    if (!ready.ok) return retry("loading the model");
    const reply = await fetch("/v1/models", { headers: headers() });
    if (reply.status === 401) return askForKey();
    const card = (await reply.json()).data[0];
    model = card.id;
    $("model").textContent = document.title = model;
    if (card.max_model_len) $("max-tokens").max = card.max_model_len;
    say("ready", "ready");
  } catch {
    retry("no answer from the server");
  }
}

function retry(text) {
  say(text);
  setTimeout(connect, 1000);
}

function askForKey() {
  $("key-field").hidden = false;
  $("model").textContent = "Locked";
  say("this server wants an API key", "fault");
  if (!$("key").value) $("key").focus();
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function* answer(signal) {
  const reply = await fetch("/v1/chat/completions", {
    method: "POST", signal, headers: headers(),
    body: JSON.stringify({
      model, messages: turns.slice(forgotten), stream: true, stream_options: { include_usage: true },
      temperature: Number($("temperature").value), max_completion_tokens: Number($("max-tokens").value) || 1,
    }),
  });
  if (!reply.ok) {
    if (reply.status === 401) askForKey();
    const { error } = await reply.json();
    if (error.code !== "context_length_exceeded" || turns.length - forgotten < 3) throw new Error(error.message);
    forgotten += 2;
    yield* answer(signal);
    return;
  }
  for await (const event of events(reply.body)) {
    if (event.error) throw new Error(event.error.message);
    yield event;
  }
}

// --- page -----------------------------------------------------------------------------------------------------

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

function addTurn(kind, text) {
  $("welcome").hidden = true;
  const turn = document.createElement("article");
  turn.className = `turn ${kind}`;
  turn.append(document.createElement("div"));
  turn.firstChild.append(document.createTextNode(text));
  $("log").append(turn);
  $("log").scrollTop = $("log").scrollHeight;
  return turn;
}

function addNote(turn, text) {
  const note = document.createElement("span");
  note.className = "note";
  note.textContent = text;
  turn.firstChild.append(note);
}

function setRunning(controller) {
  running = controller;
  $("send").hidden = Boolean(controller);
  $("stop").hidden = !controller;
  $("log").setAttribute("aria-busy", String(Boolean(controller)));
}

async function grow(turn, controller) {
  const text = turn.firstChild.firstChild;
  const found = { reason: null, usage: null, seconds: 0 };
  const started = performance.now();
  for await (const event of answer(controller.signal)) {
    const choice = event.choices[0];
    found.usage = event.usage ?? found.usage;
    if (!choice) continue;
    found.reason = choice.finish_reason ?? found.reason;
    if (!choice.delta.content) continue;
    const follow = $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;
    text.data += choice.delta.content;
    if (follow) $("log").scrollTop = $("log").scrollHeight;
    found.seconds = (performance.now() - started) / 1000;
  }
  return found;
}

async function ask(question) {
  turns.push({ role: "user", content: question });
  addTurn("user", question);
  const turn = addTurn("assistant growing", "");
  const controller = new AbortController();
  setRunning(controller);
  try {
    const { reason, usage, seconds } = await grow(turn, controller);
    if (forgotten) addNote(turn, "the context is full: the oldest turns are no longer sent");
    if (reason === "length") addNote(turn, "cut off at the token limit");
    if (usage && seconds > 0) $("speed").textContent = `${usage.completion_tokens} tokens, ${Math.round(usage.completion_tokens / seconds)}/s`;
  } catch (error) {
    if (error.name === "AbortError") addNote(turn, "stopped");
    else addTurn("fault", error.message || "the connection broke");
  }
  turn.classList.remove("growing");
  const said = turn.firstChild.firstChild.data;
  if (said) turns.push({ role: "assistant", content: said });
  else { turns.pop(); if (!turn.querySelector(".note")) turn.remove(); }
  setRunning(null);
  $("question").focus();
}

function submit() {
  const question = $("question").value.trim();
  if (!question || running || !model) return;
  $("question").value = "";
  fit();
  ask(question);
}

function clearAll() {
  running?.abort();
  turns.length = forgotten = 0;
  document.querySelectorAll(".turn").forEach((turn) => turn.remove());
  $("welcome").hidden = false;
  $("speed").textContent = "";
  $("question").focus();
}

function fit() {
  $("question").style.height = "auto";
  $("question").style.height = `${$("question").scrollHeight}px`;
}

function recall() {
  const last = turns.findLast((turn) => turn.role === "user");
  if (!last || $("question").value) return false;
  $("question").value = last.content;
  fit();
  return true;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

// --- wiring ---------------------------------------------------------------------------------------------------

$("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("question").addEventListener("input", fit);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
  if (event.key === "ArrowUp" && recall()) event.preventDefault();
});
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", clearAll);
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("temperature").addEventListener("input", () => { $("temperature-value").textContent = Number($("temperature").value).toFixed(1); });
$("key").addEventListener("change", connect);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "Backspace" && event.ctrlKey && event.shiftKey) { event.preventDefault(); clearAll(); }
});

setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
connect();

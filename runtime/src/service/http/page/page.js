// The page: films in, answers out. Films stay in this tab and on the service's machine.
import { showAnswer, unlike } from "./answer.js";
import { $, capital, make, words } from "./dom.js";
import { drawHeat, inferno, normalized, tinted } from "./draw.js";

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

const films = [];
let current = null;
let health = null;
let view = { zoom: 1, x: 0, y: 0 };
let heat = "attention"; // "", "attention" or a finding's label
let lastHeat = heat;

// ---------------------------------------------------------------- the service

async function ask(path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
    if (response.status === 401) {
      await askToken(token ? "That token was refused." : "");
      continue;
    }
    const wait = Number(response.headers.get("Retry-After"));
    if (!wait || attempt > 20) return response;
    await pause(wait);
  }
}

let asking = null;
function askToken(problem) {
  asking ??= new Promise((done) => {
    $("ask-problem").textContent = problem;
    $("ask").addEventListener("close", () => {
      sessionStorage.setItem("token", $("token").value.trim());
      asking = null;
      done();
    }, { once: true });
    $("ask").showModal();
  });
  return asking;
}

async function checkHealth() {
  try {
    const response = await fetch("/healthz");
    health = await response.json();
    const { model, engine, status } = health;
    $("dot").className = `dot ${status === "ok" ? "ok" : "bad"}`;
    $("model").textContent = status === "ok"
      ? [model.name, model.precision, engine.isa, `${engine.threads} threads`].filter(Boolean).join(" · ")
      : "about to stop";
    $("views").hidden = !health.worklist;
  } catch {
    $("dot").className = "dot bad";
    $("model").textContent = "the service does not answer";
  }
}
const healthy = checkHealth();
setInterval(checkHealth, 15000);

// ---------------------------------------------------------------- films

// Whether a browser shows these bytes as the model sees them: no DICOM, 16 bits are stretched, EXIF is not obeyed.
async function isShown(file) {
  const start = new Uint8Array(await file.slice(0, 65536).arrayBuffer());
  const ascii = (from, text) => [...text].every((c, i) => start[from + i] === c.charCodeAt(0));
  if (ascii(1, "PNG")) return start[24] <= 8 && !ascii(37, "eXIf");
  const exif = (i) => start[i] === 0xff && start[i + 1] === 0xe1;
  return start[0] === 0xff && start[1] === 0xd8 && !start.some((_, i) => exif(i));
}

const decoded = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bitmapOf = ({ png }) => createImageBitmap(new Blob([decoded(png)], { type: "image/png" }));

function add(files) {
  if (!files.length) return;
  const added = files.map((file) => ({ file, name: file.name || "pasted film", state: "waiting" }));
  films.push(...added);
  document.body.dataset.films = "some";
  showView("films");
  select(added[0]);
  listFilms();
  pump();
}

let running = 0;
function pump() {
  const next = films.find((film) => film.state === "waiting");
  if (!next || running >= 2) return;
  running++;
  next.state = "reading";
  listFilms();
  read(next).catch((error) => Object.assign(next, { state: "failed", error: { message: String(error.message ?? error) } }))
    .finally(() => {
      running--;
      listFilms();
      if (next === current) show();
      pump();
    });
  pump();
}

async function read(film) {
  const start = performance.now();
  const [shown] = await Promise.all([isShown(film.file), healthy]);
  const picture = shown ? createImageBitmap(film.file).catch(() => null) : null;
  picture?.then((bitmap) => {
    if (bitmap && !film.picture) Object.assign(film, { picture: bitmap, width: bitmap.width, height: bitmap.height });
    if (film === current) drawFilm();
  });
  const wanted = new URLSearchParams({ report: "true", maps: "true" });
  if (!shown) wanted.set("display", "true");
  if (health?.segmentation?.length) wanted.set("masks", "true");
  const post = () => ask(`/v1/infer?${wanted}`, {
    method: "POST", body: film.file, headers: { "Content-Type": "application/octet-stream" },
  });
  const response = await post();
  const answer = await response.json();
  if (!response.ok) {
    Object.assign(film, { state: "failed", error: answer.error });
    return;
  }
  const { pictures = {}, maps, ...rest } = answer;
  Object.assign(film, { answer: rest, maps, state: "done", took: performance.now() - start });
  Object.assign(film, { width: rest.input.width, height: rest.input.height });
  const { length } = positives(film);
  $("said").textContent = `${film.name}: ${unlike(film) ? "not like the films the model knows; " : ""}${length || "no"} findings above threshold`;
  if (film === current) showAnswer(current, heat, chooseMap);
  if (pictures.display) film.picture = await bitmapOf(pictures.display);
  await picture;
  if (!film.picture) {
    wanted.set("display", "true");
    const again = await (await post()).json();
    if (again.pictures?.display) film.picture = await bitmapOf(again.pictures.display);
  }
  film.masks = await Promise.all((pictures.masks ?? []).map(async (mask) => ({ label: mask.label, layer: tinted(await bitmapOf(mask)) })));
}

const positives = (film) => (film.answer?.findings ?? []).filter((finding) => finding.positive);

function remove(film) {
  const at = films.indexOf(film);
  films.splice(at, 1);
  film.picture?.close?.();
  if (film === current) select(films[at] ?? films[at - 1] ?? null);
  document.body.dataset.films = films.length ? "some" : "none";
  listFilms();
}

function listFilms() {
  const focused = document.activeElement?.closest?.("#films li")?.film;
  $("films").replaceChildren(...films.map((film) => {
    const [text, kind] = summary(film);
    const thumbnail = make("canvas", { width: 92, height: 92, "aria-hidden": "true" });
    if (film.picture) {
      const side = Math.min(film.picture.width, film.picture.height);
      const [x, y] = [(film.picture.width - side) / 2, (film.picture.height - side) / 2];
      thumbnail.getContext("2d").drawImage(film.picture, x, y, side, side, 0, 0, 92, 92);
    }
    const entry = make("button", { type: "button", class: "entry", "aria-current": String(film === current), onclick: () => select(film) },
      thumbnail, make("span", {}, make("b", {}, film.name), make("small", { class: kind }, text)));
    const gone = make("button", { type: "button", class: "remove", "aria-label": `Remove ${film.name}`, title: "Remove", onclick: () => remove(film) }, "×");
    const item = make("li", {}, entry, gone);
    item.film = film;
    if (film === focused) queueMicrotask(() => entry.focus({ preventScroll: true }));
    return item;
  }));
}

function summary(film) {
  if (film.state === "waiting") return ["waiting", ""];
  if (film.state === "reading") return ["reading …", ""];
  if (film.state === "failed") return [film.error.message, "error"];
  if (unlike(film)) return ["unlike the training films", "error"];
  const above = positives(film);
  return above.length ? [above.map((f) => words(f.label)).join(", "), "positive"] : ["none above threshold", ""];
}

function select(film) {
  current = film;
  view = { zoom: 1, x: 0, y: 0 };
  if (heat && heat !== "attention" && film?.maps && !film.maps.findings.some((f) => f.label === heat)) heat = "attention";
  for (const item of $("films").children) item.firstChild.setAttribute("aria-current", String(item.film === film));
  show();
}

// ---------------------------------------------------------------- the viewer

function show() {
  drawFilm();
  showAnswer(current, heat, chooseMap);
}

function drawFilm() {
  const film = current;
  $("empty").hidden = Boolean(film);
  $("tools").hidden = $("zoom").hidden = !film?.picture;
  $("sheet").hidden = !film?.picture;
  $("name").textContent = film?.name ?? "";
  $("size").textContent = film?.width ? `${film.width} × ${film.height}${film.answer ? ` ${film.answer.input.format.toUpperCase()}` : ""}` : "";
  const failed = film?.state === "failed";
  $("problem").hidden = !failed;
  if (failed) $("problem").replaceChildren(`${capital(film.error.message)}.`, make("small", {}, film.error.hint ? `${capital(film.error.hint)}.` : ""));
  if (!film?.picture) return drawOverlays();
  const canvas = $("film");
  const scale = Math.min(1, 4096 / Math.max(film.picture.width, film.picture.height));
  canvas.width = Math.round(film.picture.width * scale);
  canvas.height = Math.round(film.picture.height * scale);
  canvas.getContext("2d").drawImage(film.picture, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", `Film ${film.name}`);
  $("sheet").style.width = `${film.width}px`;
  $("sheet").style.height = `${film.height}px`;
  drawOverlays();
  place();
}

function place() {
  if (!current?.picture) return;
  const { clientWidth, clientHeight } = $("stage");
  if (!clientWidth) return; // hidden
  const scale = Math.min(clientWidth / current.width, clientHeight / current.height) * view.zoom;
  const [w, h] = [current.width * scale, current.height * scale];
  const clamp = (value, size, room) => {
    const most = Math.max(0, (size + room) / 2 - 60);
    return Math.max(-most, Math.min(most, value));
  };
  view.x = clamp(view.x, w, clientWidth);
  view.y = clamp(view.y, h, clientHeight);
  const [x, y] = [(clientWidth - w) / 2 + view.x, (clientHeight - h) / 2 + view.y];
  $("sheet").style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
}

function zoom(factor, x = $("stage").clientWidth / 2, y = $("stage").clientHeight / 2) {
  const next = Math.max(1, Math.min(20, view.zoom * factor));
  const [dx, dy] = [x - $("stage").clientWidth / 2, y - $("stage").clientHeight / 2];
  const ratio = next / view.zoom;
  view = next === 1 ? { zoom: 1, x: 0, y: 0 } : { zoom: next, x: dx - (dx - view.x) * ratio, y: dy - (dy - view.y) * ratio };
  place();
}

function drawOverlays() {
  const film = current;
  const values = film?.maps && (heat === "attention" ? film.maps.attention : film.maps.findings.find((f) => f.label === heat)?.values);
  const on = Boolean(heat && values?.length && film.picture);
  $("heat").hidden = !on;
  $("legend").hidden = !on;
  if (on) {
    $("legend-name").textContent = heat === "attention" ? "Attention" : `Evidence for ${words(heat)}`;
    drawHeat($("heat"), film, normalized(values));
  }
  const masks = film?.masks ?? [];
  $("mask-switch").hidden = !masks.length;
  $("mask").hidden = !(masks.length && $("mask-on").checked && film.picture);
  $("mask-name").textContent = capital(masks.map((mask) => words(mask.label)).join(", "));
  if (masks.length) {
    const canvas = $("mask");
    [canvas.width, canvas.height] = [masks[0].layer.width, masks[0].layer.height];
    for (const { layer } of masks) canvas.getContext("2d").drawImage(layer, 0, 0);
  }
}

// A finding that is shown already gives way to the attention.
const chooseMap = (label) => setHeat(heat === label ? "attention" : label);

function setHeat(next) {
  if (heat) lastHeat = heat;
  heat = next;
  $("map").value = next;
  for (const row of $("findings").querySelectorAll(".finding")) row.setAttribute("aria-pressed", String(row.dataset.label === next));
  drawOverlays();
}

function setOpacity(value) {
  $("opacity").value = value;
  $("opacity-value").value = `${$("opacity").value} %`;
  $("heat").style.opacity = $("mask").style.opacity = $("opacity").value / 100;
}

function setWindow() {
  const [brightness, contrast, invert] = [$("brightness").value, $("contrast").value, $("invert").checked];
  $("film").style.filter = `invert(${invert ? 1 : 0}) brightness(${brightness}%) contrast(${contrast}%)`;
}

// ---------------------------------------------------------------- the work list

let shown = "films";
function showView(next) {
  shown = next;
  $("films-view").hidden = next !== "films";
  $("worklist-view").hidden = next !== "worklist";
  $("show-films").setAttribute("aria-pressed", String(next === "films"));
  $("show-worklist").setAttribute("aria-pressed", String(next === "worklist"));
  if (next === "worklist") listWork();
  else place();
}

const when = (time) => (time ? new Date(time).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" }) : "");
async function listWork() {
  const response = await ask("/v1/worklist?limit=200");
  const answer = await response.json();
  $("worklist-time").textContent = response.ok ? `as of ${new Date().toLocaleTimeString()}` : answer.error.message;
  if (!response.ok) return;
  $("worklist-empty").hidden = answer.entries.length > 0;
  $("worklist").replaceChildren(...answer.entries.map((entry) => {
    const kind = /^(done|finished|sent)$/.test(entry.state) ? "good" : /dead|fail|error/.test(entry.state) ? "bad" : "";
    const cell = (name, ...children) => make("td", { "data-name": name }, ...children);
    return make("tr", {}, cell("State", make("span", { class: `chip ${kind}` }, words(entry.state))), cell("Name", entry.name),
      cell("Received", when(entry.received)), cell("Finished", when(entry.finished)), cell("Tries", String(entry.attempts)), cell("Error", entry.error ?? ""));
  }));
}
setInterval(() => shown === "worklist" && document.visibilityState === "visible" && listWork().catch(() => {}), 3000);

// ---------------------------------------------------------------- hands

const choose = () => $("file").click();
for (const id of ["add", "choose"]) $(id).addEventListener("click", choose);
$("file").addEventListener("change", () => {
  add([...$("file").files]);
  $("file").value = "";
});
addEventListener("paste", (event) => add([...event.clipboardData.files]));
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? $("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  add([...event.dataTransfer.files]);
});

$("map").addEventListener("change", () => setHeat($("map").value));
$("opacity").addEventListener("input", () => setOpacity($("opacity").value));
$("mask-on").addEventListener("change", drawOverlays);
$("in").addEventListener("click", () => zoom(1.5));
$("out").addEventListener("click", () => zoom(1 / 1.5));
$("fit").addEventListener("click", () => zoom(0));
for (const id of ["brightness", "contrast", "invert"]) $(id).addEventListener("input", setWindow);
$("reset").addEventListener("click", () => {
  $("brightness").value = $("contrast").value = 100;
  $("invert").checked = false;
  setWindow();
});
$("show-films").addEventListener("click", () => showView("films"));
$("show-worklist").addEventListener("click", () => showView("worklist"));
$("show-keys").addEventListener("click", () => $("keys").showModal());
addEventListener("click", (event) => $("window").contains(event.target) || $("window").removeAttribute("open"));
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(JSON.stringify(current.answer, null, 1));
  $("said").textContent = "JSON copied";
});
$("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([JSON.stringify(current.answer, null, 1)], { type: "application/json" }));
  make("a", { href: url, download: `${current.answer.input.path}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});

const fingers = new Map();
$("stage").addEventListener("pointerdown", (event) => {
  if (!current || event.button || event.target.closest("button")) return;
  $("stage").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
});
$("stage").addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const [other] = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
  if (other) {
    const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY) || 1;
    const box = $("stage").getBoundingClientRect();
    zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.x, (event.clientY + other.clientY) / 2 - box.y);
  } else {
    view.x += event.clientX - before.clientX;
    view.y += event.clientY - before.clientY;
    place();
  }
  fingers.set(event.pointerId, event);
});
for (const kind of ["pointerup", "pointercancel"]) $("stage").addEventListener(kind, (event) => fingers.delete(event.pointerId));
$("stage").addEventListener("dblclick", (event) => event.target.closest("button") || zoom(0));
$("stage").addEventListener("wheel", (event) => {
  if (!current) return;
  event.preventDefault();
  const box = $("stage").getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.x, event.clientY - box.y);
}, { passive: false });
new ResizeObserver(place).observe($("stage"));

const step = (by) => films.length && select(films[Math.max(0, Math.min(films.length - 1, films.indexOf(current) + by))]);
const nextEvidence = () => {
  const labels = [...$("findings").querySelectorAll(".finding")].map((row) => row.dataset.label);
  if (labels.length) setHeat(labels[(labels.indexOf(heat) + 1) % labels.length]);
};
const toggle = (box) => {
  box.checked = !box.checked;
  box.dispatchEvent(new Event(box.id === "invert" ? "input" : "change"));
};
const move = (x, y) => {
  view.x += x;
  view.y += y;
  place();
};
const KEYS = {
  o: choose, j: () => step(1), k: () => step(-1), h: () => setHeat(heat ? "" : lastHeat), e: nextEvidence,
  m: () => toggle($("mask-on")), i: () => toggle($("invert")),
  "[": () => setOpacity(Number($("opacity").value) - 10), "]": () => setOpacity(Number($("opacity").value) + 10),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0), "?": () => $("keys").showModal(),
  w: () => health?.worklist && showView(shown === "films" ? "worklist" : "films"),
  Delete: () => current && remove(current),
};
const ARROWS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return $("window").removeAttribute("open");
  const arrow = document.activeElement === $("stage") && ARROWS[event.key];
  if (event.target.closest?.("select, input:not([type=checkbox]):not([type=range])")) return;
  const action = arrow ? () => move(...arrow) : KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

const scale = $("scale").getContext("2d");
for (let x = 0; x < 120; x++) {
  scale.fillStyle = `rgb(${inferno(x / 119).join(" ")})`;
  scale.fillRect(x, 0, 1, 6);
}
setOpacity(50);
listFilms();

// The page of `serve` in a real browser: a real film, a real answer, keys, phone, light and dark.
//   node tests/browser/page.mjs [--edge target/debug/rad-dino-edge] [--pictures DIR] [--runs N]
// Skipped with a reason when there is no Chromium (CHROMIUM names one).
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Page, find } from "./chromium.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { values: options } = parseArgs({ options: {
  edge: { type: "string", default: join(root, "target/debug/rad-dino-edge") }, pictures: { type: "string" }, runs: { type: "string", default: "3" },
} });
const chromium = find();
if (!chromium) {
  console.log("skipped: there is no Chromium on the PATH (apt-get install chromium, or set CHROMIUM)");
  process.exit(0);
}
const demo = join(root, "models/demo.png");
const folder = mkdtempSync(join(tmpdir(), "rad-dino-page-"));
const children = [];

async function serve(...more) {
  const child = spawn(options.edge, ["serve", "--listen", "127.0.0.1:0", ...more], { stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  for await (const line of createInterface({ input: child.stderr })) {
    const [, url] = line.match(/"event":"listening".*"url":"([^"]+)"/) ?? [];
    if (url) {
      child.stderr.resume();
      return url;
    }
  }
  throw new Error("serve does not listen");
}

const tests = [];
const test = (name, body) => tests.push({ name, body });
const picture = async (page, name) => options.pictures && page.screenshot(join(options.pictures, `${name}.png`));
const answered = "document.querySelectorAll('#findings .finding').length > 0 && !document.getElementById('sheet').hidden";
const drawn = (id) => `(() => { const c = document.getElementById('${id}'); return !c.hidden && c.width > 0 &&
  [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].reduce((sum, v, i) => sum + (i % 4 === 3 ? v : v * (i % 7)), 0); })()`;

test("a dropped film is shown with its answer", async (page, url) => {
  await page.size(1440, 900);
  await page.scheme("dark");
  await page.go(url);
  await page.until("document.getElementById('dot').className.includes('ok')");
  await picture(page, "empty");
  await page.drop([demo], 600, 400);
  await page.until(answered);
  const expected = JSON.parse(execFileSync(options.edge, ["infer", demo, "--format", "json", "--report", "--quiet"]));
  const shown = await page.run("[...document.querySelectorAll('#findings .finding')].map(f => [f.dataset.label, f.querySelector('.number b').textContent, f.classList.contains('positive')])");
  const wanted = expected.findings.map((f) => [f.label, f.probability.toFixed(2), f.positive]);
  assert.deepEqual([...shown].sort(), wanted.sort());
  assert.equal(await page.run("document.getElementById('report').textContent.trim()"), expected.report.text);
  assert.match(await page.run("document.getElementById('attributes').textContent"), new RegExp(`${Math.round(expected.attributes.age_years)} years`));
  assert.equal(await page.run("document.getElementById('mask').hidden"), true);
  await page.press("m");
  await page.until(drawn("mask"));
  await picture(page, "dark");
});

test("evidence follows the finding, the keys and the slider", async (page) => {
  const attention = await page.run(drawn("heat"));
  assert.ok(attention > 0);
  await page.run("document.querySelector('#findings .finding').click()");
  const evidence = await page.run(drawn("heat"));
  assert.ok(evidence > 0 && evidence !== attention);
  assert.match(await page.run("document.getElementById('legend-name').textContent"), /^Evidence for/);
  await page.press("e");
  assert.notEqual(await page.run(drawn("heat")), evidence);
  assert.equal(await page.run("document.querySelectorAll('#findings [aria-pressed=true]').length"), 1);
  await page.press("h");
  assert.equal(await page.run("document.getElementById('heat').hidden"), true);
  await page.press("h");
  assert.equal(await page.run("document.getElementById('heat').hidden"), false);
  await page.press("[", "BracketLeft");
  assert.equal(await page.run("document.getElementById('heat').style.opacity"), "0.4");
  await page.press("m");
  assert.equal(await page.run("document.getElementById('mask').hidden"), true);
  const before = await page.run("document.getElementById('sheet').style.transform");
  await page.press("+", "Equal");
  assert.notEqual(await page.run("document.getElementById('sheet').style.transform"), before);
  await page.press("0", "Digit0");
  assert.equal(await page.run("document.getElementById('sheet').style.transform"), before);
  await page.press("i");
  assert.match(await page.run("document.getElementById('film').style.filter"), /invert\(1\)/);
  await page.press("i");
});

test("everything can be reached by Tab, and focus is seen", async (page) => {
  await page.run("document.activeElement.blur()");
  const reached = new Set();
  for (let i = 0; i < 60; i++) {
    await page.press("Tab");
    reached.add(await page.run("document.activeElement.id || document.activeElement.className.split(' ')[0]"));
    assert.ok(await page.run("document.activeElement === document.body || document.activeElement.id === 'answer' || getComputedStyle(document.activeElement).outlineStyle !== 'none'"), [...reached].at(-1));
  }
  for (const id of ["add", "entry", "stage", "map", "opacity", "mask-on", "in", "finding", "remove"]) assert.ok(reached.has(id), `${id} of ${[...reached]}`);
  const nameless = await page.run("[...document.querySelectorAll('button, select, input:not([type=file])')].filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')?.textContent.trim())).map(e => e.outerHTML)");
  assert.deepEqual(nameless, []);
});

test("a broken film says why, and the others stay", async (page) => {
  const broken = join(folder, "broken.png");
  writeFileSync(broken, "not a film");
  await page.drop([broken, demo], 600, 400);
  await page.until("document.querySelectorAll('#films .entry').length === 3 && !document.getElementById('films').textContent.match(/reading|waiting/)");
  assert.match(await page.run("document.getElementById('problem').textContent"), /does not read/);
  await picture(page, "broken");
  await page.press("Delete");
  await page.press("j");
  assert.equal(await page.run("document.querySelectorAll('#films .entry').length"), 2);
  assert.ok(await page.run(answered));
  page.complaints = page.complaints.filter((text) => !/415/.test(text));
});

test("a picture that is no chest film is flagged before anything else", async (page) => {
  const noise = join(folder, "noise.png");
  writeFileSync(noise, Buffer.from(await page.run(`(async () => {
    const c = new OffscreenCanvas(300, 300), x = c.getContext('2d');
    for (let i = 0; i < 900; i++) { x.fillStyle = 'hsl(' + i * 47 + ' 90% 55%)'; x.fillRect((i % 30) * 10, (i / 30 | 0) * 10, 10, 10); }
    const bytes = new Uint8Array(await (await c.convertToBlob()).arrayBuffer());
    return Array.from(bytes); })()`)));
  await page.drop([noise], 600, 400);
  await page.until("document.querySelector('.warning') !== null");
  assert.equal(await page.run("document.getElementById('report-part').hidden"), true);
  assert.ok(await page.run("document.querySelector('.warning').getBoundingClientRect().top < document.querySelector('#findings').getBoundingClientRect().top"));
  await picture(page, "warning");
});

test("a pasted film is read", async (page, url) => {
  await page.go(url);
  await page.run(`(async () => {
    const c = new OffscreenCanvas(64, 64); c.getContext('2d').fillRect(8, 8, 32, 32);
    const data = new DataTransfer(); data.items.add(new File([await c.convertToBlob()], 'pasted.png', { type: 'image/png' }));
    dispatchEvent(new ClipboardEvent('paste', { clipboardData: data })); })()`);
  await page.until(answered);
});

test("it is right on a phone", async (page, url) => {
  await page.size(360, 760, 2, true);
  await page.go(url);
  await picture(page, "phone-empty");
  await page.drop([demo], 180, 400);
  await page.until(answered);
  await page.press("m");
  await page.until(drawn("mask"));
  assert.equal(await page.run("document.scrollingElement.scrollWidth"), 360);
  await picture(page, "phone");
  await page.run("document.getElementById('findings').scrollIntoView()");
  const notice = await page.run("(() => { const b = document.querySelector('.notice').getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight && b.left >= 0 && b.right <= innerWidth; })()");
  assert.ok(notice, "the notice stays in sight");
  await picture(page, "phone-findings");
});

test("it is light where light is liked", async (page, url) => {
  await page.size(1280, 800);
  await page.scheme("light");
  await page.go(url);
  await page.drop([demo], 600, 400);
  await page.until(answered);
  await page.press("m");
  await page.until(drawn("mask"));
  await picture(page, "light");
  await page.scheme("dark");
});

test("DICOM is shown", async (page, url) => {
  const film = join(process.env.RDE_SHARED ?? join(root, "../shared"), "data/dicom/chest_RG1quarter_mono1_15bit_JPEGLS.dcm");
  if (!existsSync(film)) return `skipped: there is no ${film}`;
  await page.size(1440, 900);
  await page.go(url);
  await page.drop([film], 600, 400);
  await page.until(answered);
  assert.match(await page.run("document.getElementById('size').textContent"), /DICOM/);
  await picture(page, "dicom");
});

test("a token is asked for once", async (page) => {
  const file = join(folder, "token");
  writeFileSync(file, "0123456789abcdef-token");
  await page.go(await serve("--token-file", file));
  await page.drop([demo], 600, 400);
  await page.until("document.getElementById('ask').open");
  await page.send("Input.insertText", { text: "wrong" });
  await page.press("Enter");
  await page.until("document.getElementById('ask').open && document.getElementById('ask-problem').textContent");
  await page.run("document.getElementById('token').select()");
  await page.send("Input.insertText", { text: "0123456789abcdef-token" });
  await picture(page, "token");
  await page.press("Enter");
  await page.until(answered);
  page.complaints = page.complaints.filter((text) => !/401/.test(text));
});

test("the work list of the queue is shown", async (page) => {
  const [films, out] = [join(folder, "films"), join(folder, "out")];
  mkdirSync(films);
  copyFileSync(demo, join(films, "first.png"));
  writeFileSync(join(films, "second.png"), "no film");
  spawnSync(options.edge, ["watch", films, "--out", out, "--once", "--settle-seconds", "0", "--quiet"]);
  await page.go(await serve("--queue", out));
  await page.until("!document.getElementById('views').hidden");
  await page.press("w");
  await page.until("document.querySelectorAll('#worklist tr').length === 2");
  const rows = await page.run("[...document.querySelectorAll('#worklist tr')].map(row => row.innerText)");
  assert.ok(rows.some((row) => /done/.test(row) && /first/.test(row)) && rows.some((row) => /dead/.test(row) && /second/.test(row)), rows);
  await picture(page, "worklist");
  await page.size(360, 760, 2, true);
  assert.equal(await page.run("document.scrollingElement.scrollWidth"), 360);
  await picture(page, "phone-worklist");
  await page.size(1440, 900);
  await page.press("w");
  await page.until("!document.getElementById('films-view').hidden");
});

test("the first result comes soon after the drop", async (page, url) => {
  const times = [];
  for (let i = 0; i < Number(options.runs); i++) {
    await page.go(url);
    await page.until("document.getElementById('dot').className.includes('ok')");
    await page.run(`addEventListener('drop', () => window.dropped = performance.now(), { capture: true });
      new MutationObserver((_, self) => { if (document.querySelector('.finding')) { self.disconnect();
        requestAnimationFrame(() => setTimeout(() => window.seen = performance.now())); } }).observe(document.getElementById('findings'), { childList: true });`);
    await page.drop([demo], 600, 400);
    await page.until("window.seen");
    times.push(await page.run("window.seen - window.dropped"));
  }
  times.sort((a, b) => a - b);
  const ms = (x) => `${x.toFixed(0)} ms`;
  return `findings on the screen after ${ms(times[times.length >> 1])} (median of ${times.length}; ${ms(times[0])} to ${ms(times.at(-1))})`;
});

let failed = 0;
if (options.pictures) mkdirSync(options.pictures, { recursive: true });
const url = await serve();
const page = await Page.open(chromium);
for (const { name, body } of tests) {
  try {
    const note = await body(page, url);
    assert.deepEqual(page.complaints, [], "the browser complained");
    console.log(`ok      ${name}${note ? `: ${note}` : ""}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${error.stack}`);
    page.complaints = [];
  }
}
await page.close();
for (const child of children) child.kill("SIGTERM");
rmSync(folder, { recursive: true, force: true });
console.log(failed ? `${failed} failed` : "all passed");
process.exit(failed ? 1 : 0);

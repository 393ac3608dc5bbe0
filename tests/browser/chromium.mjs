// A headless Chromium over the DevTools protocol's pipe: no package is needed.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"];

/** CHROMIUM, or the first known name on the PATH; null when there is none. */
export function find() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = [process.env.CHROMIUM, ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))];
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }) ?? null;
}

/** One browser with one page. */
export class Page {
  #next = 1;
  #waiting = new Map();
  #rest = "";
  /** Exceptions, console errors, policy violations. */
  complaints = [];

  static async open(path) {
    const page = new Page();
    page.folder = mkdtempSync(join(tmpdir(), "rad-dino-browser-"));
    page.process = spawn(path, [...FLAGS, `--user-data-dir=${page.folder}`], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    page.process.stdio[4].on("data", (bytes) => page.#read(bytes.toString()));
    const { targetId } = await page.send("Target.createTarget", { url: "about:blank" });
    page.session = (await page.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log", "DOM"]) await page.send(`${domain}.enable`);
    return page;
  }

  send(method, params = {}) {
    const id = this.#next++;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return new Promise((done, fail) => this.#waiting.set(id, { done, fail, method }));
  }

  #read(text) {
    const messages = (this.#rest + text).split("\0");
    this.#rest = messages.pop();
    for (const message of messages.map((each) => JSON.parse(each))) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.fail(new Error(`${waiting.method}: ${message.error.message}`));
      else waiting?.done(message.result);
      if (message.method === "Runtime.exceptionThrown") this.complaints.push(message.params.exceptionDetails.exception?.description ?? "exception");
      if (message.method === "Log.entryAdded" && message.params.entry.level === "error") this.complaints.push(message.params.entry.text);
    }
  }

  async size(width, height, scale = 1, mobile = false) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile });
  }

  async scheme(value) {
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }, { name: "prefers-reduced-motion", value: "reduce" }] });
  }

  async go(url) {
    await this.send("Page.navigate", { url });
    await this.until("document.readyState === 'complete' && location.href !== 'about:blank'");
  }

  /** The value of an expression in the page. */
  async run(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression holds. */
  async until(expression, seconds = 30) {
    for (const end = Date.now() + 1000 * seconds; Date.now() < end;) {
      if (await this.run(expression).catch(() => false)) return;
      await new Promise((done) => setTimeout(done, 15));
    }
    throw new Error(`never held: ${expression}`);
  }

  /** Files dropped at a point, as a person drops them. */
  async drop(files, x, y) {
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) await this.send("Input.dispatchDragEvent", { type, x, y, data });
  }

  /** A key as a person presses it; `text` for those that write. */
  async press(key, code = key.length === 1 ? `Key${key.toUpperCase()}` : key) {
    const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
    const codes = { Tab: 9, Enter: 13, Escape: 27, " ": 32, Delete: 46 };
    const event = { key, code, text, windowsVirtualKeyCode: codes[key] ?? key.toUpperCase().charCodeAt(0) };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async screenshot(path) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  async close() {
    const gone = new Promise((done) => this.process.once("exit", done));
    this.send("Browser.close").catch(() => {});
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

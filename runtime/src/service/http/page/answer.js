// The answer of one film, in words and bars.
import { $, capital, make, percent, words } from "./dom.js";

/** Whether the film is not like those the model was trained on. */
export const unlike = (film) => film.answer.warnings.some((w) => w.kind === "out_of_distribution");

const pairs = (list) => list.flatMap(([name, value, note]) => [make("dt", {}, name), make("dd", {}, value, note ? make("small", {}, ` ${note}`) : null)]);

/** Shows the answer of `film`; `heat` is the map that is shown, `setHeat` chooses another. */
export function showAnswer(film, heat, setHeat) {
  const answer = film?.answer;
  $("answer").classList.toggle("none", !answer);
  $("answer").classList.toggle("doubtful", Boolean(answer && unlike(film)));
  if (!answer) return;
  $("size").textContent = `${answer.input.width} × ${answer.input.height} ${answer.input.format.toUpperCase()}`;
  $("warnings").replaceChildren(...answer.warnings.filter((w) => !w.kind.startsWith("report_")).map(warning));
  showFindings(answer.findings ?? [], heat, setHeat);
  showReport(answer.report, answer.warnings);
  const { sex, age_years: age, view: projection } = answer.attributes;
  const tags = answer.input.tags ?? {};
  const beside = (note, tag) => [note, tag && `file: ${tag}`].filter(Boolean).join(" · ");
  const attributes = [
    sex && ["Sex", sex.female >= 0.5 ? "female" : "male", beside(percent(Math.max(sex.female, 1 - sex.female)), tags.patient_sex)],
    age != null && ["Age", `${Math.round(age)} years`, beside("", tags.patient_age)],
    projection && ["View", projection.label, beside(percent(projection.probability), tags.view_position)],
  ].filter(Boolean);
  $("attributes-part").hidden = !attributes.length;
  $("attributes").replaceChildren(...pairs(attributes));
  const regions = (answer.segmentation ?? []).map((region) => [capital(words(region.label)), percent(region.area_fraction)]);
  $("regions-part").hidden = !regions.length;
  $("regions").replaceChildren(...pairs(regions));
  showTiming(answer.timing_ms, film.took);
  const { model, engine, input } = answer;
  $("facts").replaceChildren(...pairs([
    ["Model", `${model.name}, ${model.precision ?? ""} ${model.image_size} px`], ["Model SHA-256", model.sha256.slice(0, 16)],
    ["Engine", `${engine.version}, ${engine.isa}, ${engine.threads} threads`], ["File SHA-256", input.sha256.slice(0, 16)],
    ["Embedding", `${answer.embedding.dim} numbers, length ${answer.embedding.l2_norm.toFixed(1)}`]]));
}

function warning({ kind, message }) {
  const sign = make("span");
  sign.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3 1.8 20.5h20.4zM12 9.5v5M12 17.6v.1"/></svg>';
  const title = kind === "out_of_distribution" ? "Not like the films the model knows" : capital(words(kind));
  return make("div", { class: "warning", role: "alert" }, sign.firstChild, make("strong", {}, title), make("p", {}, `${capital(message)}.`));
}

function showFindings(findings, heat, setHeat) {
  $("findings-part").hidden = !findings.length;
  const above = findings.filter((finding) => finding.positive).length;
  $("count").textContent = $("answer").classList.contains("doubtful") ? "not to be relied on" : above ? `${above} above threshold` : "none above threshold";
  const order = [...findings].sort((a, b) => b.positive - a.positive || b.probability / b.threshold - a.probability / a.threshold);
  $("findings").replaceChildren(...order.map((finding) => {
    const { label, probability, threshold, positive } = finding;
    const [fill, tick] = [make("i"), make("b")];
    fill.style.width = `${100 * probability}%`;
    tick.style.left = `${100 * threshold}%`;
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, fill, tick);
    const name = make("span", { class: "label" }, words(label), positive ? make("em", {}, "above threshold") : null);
    const number = make("span", { class: "number" }, make("b", {}, probability.toFixed(2)), ` / ${threshold.toFixed(2)}`);
    const said = `${words(label)}: probability ${probability.toFixed(2)}, threshold ${threshold.toFixed(2)}, ${positive ? "above" : "below"}. Show its evidence.`;
    return make("li", {}, make("button", {
      type: "button", class: `finding${positive ? " positive" : ""}`, "data-label": label, "aria-label": said,
      "aria-pressed": String(heat === label), onclick: () => setHeat(label),
    }, name, number, bar));
  }));
  $("map").replaceChildren(make("option", { value: "" }, "off"), make("option", { value: "attention" }, "attention"),
    make("optgroup", { label: "evidence for" }, ...findings.map(({ label }) => make("option", { value: label }, words(label)))));
  $("map").value = heat;
}

// Sentences that the findings contradict are underlined, where the answer says so.
function showReport(report, warnings) {
  $("report-part").hidden = !report;
  if (!report) return;
  $("report-source").textContent = { template: "fixed sentences over the findings", retrieval: "report of the most similar film" }[report.source] ?? report.source;
  const sentences = report.sentences ?? [{ text: report.text }];
  $("report").replaceChildren(...sentences.flatMap((sentence) => {
    const against = (sentence.contradicts ?? []).map(words).join(", ");
    const text = against ? make("mark", {}, sentence.text, make("sup", {}, `against the finding: ${against}`)) : sentence.text;
    return [text, " "];
  }));
  const sure = sentences.map((sentence) => sentence.confidence).filter((x) => x != null);
  const notes = warnings.filter((w) => w.kind.startsWith("report_")).map((w) => `${capital(w.message)}.`);
  if (sure.length) notes.push(`How sure the decoder is of its words, by sentence: ${sure.map(percent).join(", ")}.`);
  $("report-notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
}

function showTiming(timing, took) {
  const stages = ["read", "preprocess", "encoder", "heads", "report"].map((name) => [name, timing[name]]);
  const whole = Math.max(timing.total, stages.reduce((sum, [, ms]) => sum + ms, 0)) || 1;
  const ms = (x) => `${x < 10 ? x.toFixed(1) : Math.round(x)} ms`;
  $("total").textContent = `${ms(timing.total)}, ${ms(took)} with the way here`;
  $("timing").replaceChildren(...stages.map(([, time], i) => {
    const part = make("i", { class: `s${i}` });
    part.style.flexGrow = time / whole;
    return part;
  }));
  $("timing").setAttribute("aria-label", stages.map(([name, time]) => `${name} ${ms(time)}`).join(", "));
  $("stages").replaceChildren(...stages.map(([name, time], i) => make("li", {}, make("i", { class: `s${i}` }), `${name} ${ms(time)}`)));
}

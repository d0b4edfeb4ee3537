// A question: what it recalls and why, what the decoder is asked, and what it answers.

import { call, stream } from "./api.js";
import { showDocument } from "./document.js";
import { gauge, parts, share } from "./plots.js";
import { el, put, shown, stored } from "./text.js";

export function askView(app, section) {
  let running = null;
  let warmed = false;
  let cards = [];
  const question = el("input", { id: "question", required: true, autocomplete: "off", dir: "auto", "data-first": true, placeholder: "What would you ask this memory?" });
  const fields = {
    k: number("Segments", 5, 1, 50), neighbours: number("Neighbours", 0, 0, 20),
    threshold: el("input", { type: "number", min: "0", max: "1", step: "0.01", placeholder: "its own" }),
    since: el("input", { type: "date" }), until: el("input", { type: "date" }), as_of: el("input", { type: "date" }),
  };
  const names = { k: "Segments", neighbours: "Neighbours", threshold: "Threshold", since: "Since", until: "Until", as_of: "As of" };
  const stop = el("button", { type: "button", hidden: true, click: () => running?.abort() }, "Stop");
  const form = el(
    "form", { class: "asking", submit: (event) => run(event, true) },
    el("label", { for: "question" }, "Question"),
    el("div", { class: "bar" }, question, el("button", { type: "submit", class: "primary" }, "Answer"), el("button", { type: "button", click: (event) => form.reportValidity() && run(event, false) }, "Recall only"), stop),
    el("details", { class: "options" }, el("summary", {}, "Options"), el("div", { class: "bar" }, ...Object.entries(fields).map(([key, field]) => el("label", {}, names[key], field)))),
  );
  const answer = el("div", { class: "answer", "aria-live": "polite" });
  const scope = el("div", { class: "scope" });
  const recalled = el("ol", { class: "cards" });
  const prompts = el("div", { class: "prompts" });
  const source = el("div", { class: "detail" });
  const results = el(
    "div", { class: "results", hidden: true },
    el("div", { class: "found" }, answer, scope, recalled), el("div", { class: "beside" }, source, prompts),
  );
  section.append(form, results);

  function number(name, value, min, max) {
    return el("input", { type: "number", value, min, max, required: true });
  }

  function options() {
    const given = { namespace: app.namespace, question: question.value };
    for (const [key, field] of Object.entries(fields)) {
      if (field.value !== "") given[key] = field.type === "number" ? field.valueAsNumber : field.value;
    }
    return given;
  }

  async function run(event, answering, changes = {}) {
    event.preventDefault();
    running?.abort();
    const own = (running = new AbortController());
    stop.hidden = false;
    results.hidden = false;
    app.asked = true;
    source.asked = null;
    for (const part of [answer, scope, recalled, prompts, source]) part.replaceChildren();
    answer.append(el("p", { class: "hint" }, warmed ? "Reading\u2026" : "Loading the encoder\u2026"));
    answer.setAttribute("aria-busy", "true");
    await app.try(async () => {
      let said = null;
      for await (const value of stream("ask", { ...options(), ...changes, answer: answering }, own.signal)) {
        if (value.readout) showReadout(value.readout, value.slots, answering);
        else if (value.prompts) showPrompts(value.prompts, value.sources);
        else if (value.piece !== undefined) {
          if (said === null) answer.replaceChildren((said = stored("", "p", { class: "said" })));
          said.append(shown(value.piece));
        } else if (value.answer) showAnswer(value.answer);
      }
    });
    if (running === own) {
      stop.hidden = true;
      answer.removeAttribute("aria-busy");
      answer.querySelector(".hint.waiting")?.remove();
    }
  }

  function showReadout(readout, slots, answering) {
    warmed = true;
    app.slots = slots;
    const why = { "nothing stored": "Nothing is stored here.", "nothing near": "Nothing stored is near the question." }[readout.reason];
    answer.replaceChildren();
    if (answering && readout.in_scope) answer.append(el("p", { class: "hint waiting" }, "The decoder is asked\u2026"));
    const { probability, threshold, margin } = readout;
    const said = `probability ${share(probability)}, threshold ${share(threshold)}, margin ${margin < 0 ? "" : "+"}${share(margin)}`;
    const nearest = (event) => run(event, false, { threshold: 0 });
    put(
      scope,
      el("h2", {}, readout.in_scope ? "Recalled" : "Not in memory"),
      gauge("Probability that the answer is there", probability, { mark: threshold, said }),
      el("p", { class: "margin" }, said, ` \u00b7 read in ${(readout.seconds * 1000).toFixed(0)} ms`),
      why ? el("p", { class: "hint" }, why) : null,
      readout.reason && readout.reason !== "nothing stored" ? el("button", { type: "button", click: nearest }, "Show the nearest anyway") : null,
      Object.keys(readout.signs ?? {}).length ? el("details", {}, el("summary", {}, "What the probability follows from"), signs(readout.signs)) : null,
    );
    const places = readout.segments.map((segment, at) => ({ ...segment, number: at + 1 }));
    cards = places.map((segment) => card(segment, places));
    recalled.replaceChildren(...cards);
    if (places.length) open(places[0], places);
  }

  function signs(values) {
    return el("table", { class: "parts" }, el("tbody", {}, ...Object.entries(values).map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "number" }, share(value))))));
  }

  function card(segment, places) {
    const { why } = segment;
    const found = [["key", why.by_key], ["words", why.by_words]].filter(([, place]) => place !== null).map(([way, place]) => `by ${way} at place ${place}`);
    const rows = Object.entries(why.features).map(([name, [value, part]]) => [name, value, part]);
    const chosen = el("button", { type: "button", class: "quiet", click: () => open(segment, places, true) }, "Show in document");
    return el(
      "li", { class: "card", "data-id": segment.id, tabindex: "-1" },
      stored(segment.before + segment.text + segment.after, "p", { class: "recalled" }),
      el("p", { class: "facts" }, stored(segment.document_id, "bdi", { class: "id" }), ` \u00b7 ${segment.start.toLocaleString("en")}\u2013${segment.end.toLocaleString("en")} `, chosen),
      pair("score", segment.score), pair("weight", segment.weight),
      el("details", {}, el("summary", {}, `Why: rank ${share(why.rank_score)}, found ${found.join(", ") || "beside others"}`), parts("Each feature's part of the rank", rows)),
    );
  }

  function pair(name, value) {
    return el("div", { class: "pair" }, el("span", {}, name), gauge(name, value), el("span", { class: "number" }, share(value)));
  }

  function open(segment, places, move = false) {
    for (const one of cards) one.classList.toggle("chosen", one.dataset.id === segment.id);
    const marks = places
      .filter((one) => one.document_id === segment.document_id)
      .map(({ start, end, number: at, id }) => ({ start, end, number: at, chosen: id === segment.id }));
    return app.try(async () => {
      await showDocument(app, source, { id: segment.document_id, marks });
      if (move) source.querySelector("pre.text")?.focus();
    });
  }

  function showPrompts(chats, sources) {
    sources.forEach((id, at) => {
      const one = cards.find((made) => made.dataset.id === id);
      one?.prepend(el("span", { class: "badge given", title: "Given to the decoder" }, `[${at + 1}]`));
      if (one) one.dataset.source = at + 1;
    });
    if (!chats.length) return;
    const turns = chats.flatMap((chat) => chat.map(({ role, content }) => el("div", { class: "turn" }, el("b", {}, role), stored(content, "pre"))));
    prompts.replaceChildren(el("details", { open: true }, el("summary", {}, "What the decoder is asked"), ...turns));
  }

  function showAnswer(found) {
    const said = stored("", "p", { class: "said" });
    const cited = new Set(found.citations.map((one) => one.source));
    for (const piece of found.text.split(/(\[\d+\])/)) {
      const at = Number(/^\[(\d+)\]$/.exec(piece)?.[1]);
      said.append(cited.has(at) ? el("button", { type: "button", class: "cite", "aria-label": `Source ${at}`, click: () => cite(at, found) }, piece) : shown(piece));
    }
    const facts = [
      found.confidence === null ? null : `confidence ${share(found.confidence)}`, `grounding ${found.grounding}`,
      `first token ${found.timings.first_token.toFixed(2)} s`, `whole answer ${found.timings.total.toFixed(2)} s`,
    ];
    answer.replaceChildren(el("h2", {}, "Answer"), said, el("p", { class: "facts" }, facts.filter(Boolean).join(" \u00b7 ")));
  }

  function cite(at, found) {
    const one = cards.find((made) => made.dataset.id === found.sources[at - 1].id);
    if (one) {
      one.scrollIntoView({ block: "nearest" });
      one.focus();
    }
    const places = found.sources.map((segment, n) => ({ ...segment, number: n + 1 }));
    open(places[at - 1], places);
  }

  async function show() {
    question.focus();
    if (!warmed) {
      // While the question is typed.
      call("ready").then(() => (warmed = true)).catch(app.fail);
    }
  }

  function reset() {
    running?.abort();
    results.hidden = true;
    app.slots = null;
    app.asked = false;
  }
  return { show, reset };
}

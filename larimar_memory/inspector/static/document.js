// A document: its text with places in it marked, and what may be done with it.

import { call } from "./api.js";
import { showReceipt } from "./receipts.js";
import { count, el, plain, stored } from "./text.js";

const STEP = 10_000;

/**
 * Show a document.
 *
 * marks: places {start, end, number, chosen}, in characters as Python counts them.
 * changed: called with the id after an edit, with null after it was forgotten.
 */
export async function showDocument(app, target, { id, marks = [], at = null, changed, back = null }) {
  const chosen = marks.find((mark) => mark.chosen);
  const namespace = app.namespace;
  const asked = (target.asked = {});
  const found = await call("document", { namespace, id, at: at ?? chosen?.start ?? 0 });
  // Meanwhile another was chosen, or another namespace.
  if (target.asked !== asked) return;
  const again = (place) => app.try(() => showDocument(app, target, { id, marks, at: place, changed, back }));
  const facts = [count(found.characters, "character"), count(found.segments, "segment"), found.written_at && `written ${found.written_at} UTC`];
  const end = found.start + [...found.text].length;
  target.replaceChildren(
    el(
      "article", { "aria-label": `Document ${plain(id)}` },
      back && el("a", { class: "back", href: back }, "\u2190 All documents"),
      el("h2", {}, stored(id)),
      el("p", { class: "facts" }, facts.filter(Boolean).join(" \u00b7 "), found.episode && " \u00b7 episode ", found.episode && stored(found.episode)),
      app.memory.write && changed
        ? el(
            "p", { class: "bar" },
            el("button", { type: "button", click: () => app.try(() => edit(app, id, changed)) }, "Edit"),
            el("button", { type: "button", class: "danger", click: () => forget(app, found, changed) }, "Forget"),
          )
        : null,
      found.start > 0 && el("button", { type: "button", class: "quiet", click: () => again(Math.max(found.start - STEP, 0)) }, "\u2191 Earlier text"),
      el("pre", { class: "text", tabindex: "0", dir: "auto", "aria-label": "Text" }, ...marked(found, marks)),
      end < found.characters && el("button", { type: "button", class: "quiet", click: () => again(end) }, "\u2193 Later text"),
      found.metadata !== "{}" && el("details", { open: true }, el("summary", {}, "Metadata"), stored(found.metadata, "pre", { class: "json" })),
    ),
  );
  target.querySelector("mark.chosen")?.scrollIntoView({ block: "center" });
}

function marked(found, marks) {
  // Characters are code points, and a text in a browser is counted in halves of some of them.
  const points = [...found.text];
  const nodes = [];
  let last = 0;
  const cut = (from, to) => points.slice(from, to).join("");
  for (const mark of [...marks].sort((one, other) => one.start - other.start)) {
    const from = Math.max(mark.start - found.start, last);
    const to = Math.min(mark.end - found.start, points.length);
    if (from >= to) continue;
    nodes.push(stored(cut(last, from), "span"));
    const title = mark.number ? `Recalled ${mark.number}` : null;
    nodes.push(stored(cut(from, to), "mark", { class: mark.chosen ? "chosen" : "", title }));
    last = to;
  }
  return [...nodes, stored(cut(last), "span")];
}

/** A dialog that is gone once it is closed; Escape closes it. */
function dialog(label, ...children) {
  const made = el("dialog", { "aria-label": label, close: () => made.remove() }, ...children);
  document.body.append(made);
  made.showModal();
  return made;
}

async function edit(app, id, changed) {
  const namespace = app.namespace;
  const found = await call("document", { namespace, id, whole: true });
  const text = el("textarea", { id: "edited", rows: "14", dir: "auto", spellcheck: "false" });
  const metadata = el("textarea", { id: "metadata", rows: "4", spellcheck: "false" });
  const problem = el("p", { role: "alert", class: "problem" });
  text.value = found.text;
  metadata.value = found.metadata;
  // A field has its own line ends: what was not touched is sent as it was.
  const [was, had] = [text.value, metadata.value];
  const save = async (event) => {
    event.preventDefault();
    const given = { namespace, id, was: found.hash };
    given.text = text.value === was ? found.text : text.value;
    if (metadata.value !== had) given.metadata = metadata.value;
    try {
      button.disabled = true;
      problem.textContent = "";
      app.say("Saving; the first time, the encoder is loaded.");
      await call("update", given);
    } catch (error) {
      problem.textContent = plain(error.message);
      return;
    } finally {
      button.disabled = false;
    }
    made.close();
    await app.try(() => changed(id));
    app.say("Saved");
  };
  const button = el("button", { type: "submit" }, "Save");
  const quick = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  };
  const form = el(
    "form", { submit: save, keydown: quick },
    el("h2", {}, "Edit ", stored(id)),
    el("label", { for: "edited" }, "Text"), text,
    found.text.includes("\r") && el("p", { class: "hint" }, "A changed text is saved with line feeds alone at its line ends."),
    el("label", { for: "metadata" }, "Metadata, a JSON object"), metadata,
    problem,
    el("p", { class: "bar" }, button, el("button", { type: "button", click: () => made.close() }, "Cancel"), el("span", { class: "hint" }, "Ctrl+Enter saves")),
  );
  const made = dialog(`Edit ${plain(id)}`, form);
  text.focus();
  text.setSelectionRange(0, 0);
}

function forget(app, found, changed) {
  const problem = el("p", { role: "alert", class: "problem" });
  const act = async () => {
    go.disabled = true;
    app.say(searched ? "Forgetting; every byte of the files is looked through." : "Forgetting");
    try {
      const { receipt } = await call("forget", { namespace: app.namespace, id: found.id });
      const close = el("button", { type: "button", click: () => made.close() }, "Close");
      const told = receipt ? showReceipt(receipt) : el("p", { class: "good" }, "\u2713 It is erased.");
      made.replaceChildren(el("h2", {}, "Forgotten"), told, el("p", { class: "bar" }, close));
      close.focus();
      app.say("Forgotten");
      made.addEventListener("close", () => app.try(() => changed(null)), { once: true });
    } catch (error) {
      problem.textContent = plain(error.message);
      go.disabled = false;
    }
  };
  const go = el("button", { type: "button", class: "danger", click: act }, "Forget for good");
  const cancel = el("button", { type: "button", click: () => made.close() }, "Keep it");
  const searched = app.memory.receipts;
  const how = searched
    ? "erased from the files, which are then searched byte by byte. The receipt holds no text."
    : "erased from the database, which keeps no receipt of it.";
  const said = `Its text, ${count(found.segments, "segment")}, is ${how}`;
  const made = dialog(
    `Forget ${plain(found.id)}`,
    el("h2", {}, "Forget ", stored(found.id), "?"), el("p", {}, said), problem, el("p", { class: "bar" }, go, cancel),
  );
  cancel.focus();
}

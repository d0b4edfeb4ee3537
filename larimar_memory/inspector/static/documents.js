// Documents and episodes of a namespace, by pages, and one of them open.

import { call } from "./api.js";
import { showDocument } from "./document.js";
import { count, el, stored } from "./text.js";

const COUNT = 50;

export function documentsView(app, section) {
  let state;
  const list = el("ol", { class: "rows", keydown: arrows });
  const pager = el("div", { class: "pager" });
  const chips = el("div", { class: "chips" });
  const detail = el("div", { class: "detail" });
  const text = el("input", { type: "search", "aria-label": "Search", "data-first": true });
  const where = choice("Search in", { text: "texts", id: "ids" });
  const order = choice("Order", { oldest: "oldest first", newest: "newest first" }, restart);
  const kind = choice("List", { documents: "Documents", episodes: "Episodes" }, () => {
    state.episode = null;
    restart();
  });
  const form = el(
    "form",
    { role: "search", class: "bar", submit: search },
    text, where, el("button", { type: "submit" }, "Search"), kind, order,
  );
  section.append(
    el("div", { class: "split" }, el("div", { class: "list" }, form, chips, list, pager), detail),
  );
  reset();

  function choice(name, options, act = () => {}) {
    const made = Object.entries(options).map(([value, said]) => el("option", { value }, said));
    return el("select", { "aria-label": name, change: act }, ...made);
  }

  function reset() {
    state = { pages: [null], episode: null, sought: "", within: "id", open: null, loaded: false };
    text.value = "";
    detail.asked = null;
    detail.replaceChildren();
  }

  function restart() {
    state.pages = [null];
    return app.try(load);
  }

  function search(event) {
    event.preventDefault();
    kind.value = "documents";
    Object.assign(state, { sought: text.value.trim(), within: where.value });
    restart();
  }

  async function load() {
    // Answers may come in another order than they were asked for: only the newest is shown.
    const asked = (state.asked = {});
    const given = { namespace: app.namespace, count: COUNT, after: state.pages.at(-1) };
    const searching = state.sought !== "" && state.within === "text";
    list.setAttribute("aria-busy", "true");
    let found;
    if (kind.value === "episodes") found = await call("episodes", given);
    else if (searching) {
      app.say("Searching; the first search loads the encoder.");
      found = await call("search", { namespace: app.namespace, text: state.sought, count: COUNT });
    } else {
      const newest = order.value === "newest";
      const matching = state.sought;
      found = await call("documents", { ...given, newest, matching, episode: state.episode });
    }
    if (asked !== state.asked) return;
    state.loaded = true;
    list.removeAttribute("aria-busy");
    const rows = found.documents?.map(documentRow) ?? found.episodes.map(episodeRow);
    list.replaceChildren(...rows);
    const begun = (state.pages.length - 1) * COUNT;
    showChips();
    showPager(found, begun, rows.length);
    app.say(rows.length ? `${rows.length} shown` : "Nothing found");
    markOpen();
  }

  function documentRow(found) {
    const facts = [count(found.segments, "segment"), found.written_at];
    if (found.score !== undefined) facts.unshift(`score ${found.score.toFixed(2)}`);
    return el(
      "li", {},
      el(
        "a",
        { class: "row", href: `#documents/${encodeURIComponent(found.id)}`, "data-id": found.id, click: () => found.end && (state.mark = found) },
        stored(found.preview || "(no text)", "span", { class: "preview" }),
        el("span", { class: "facts" }, stored(found.id, "bdi", { class: "id" }), ` \u00b7 ${facts.filter(Boolean).join(" \u00b7 ")}`),
      ),
    );
  }

  function episodeRow(found) {
    const open = () => {
      kind.value = "documents";
      Object.assign(state, { episode: found.name, sought: "" });
      text.value = "";
      restart();
    };
    const facts = el("span", { class: "facts" }, count(found.documents, "document"));
    return el(
      "li", {},
      el("button", { type: "button", class: "row", click: open, "data-after": found.name }, stored(found.name, "span", { class: "preview" }), facts),
    );
  }

  function showChips() {
    const made = [];
    const chip = (said, value, undo) => {
      const act = () => {
        undo();
        restart();
      };
      made.push(el("button", { type: "button", class: "chip", click: act }, `${said} `, stored(value), " \u00d7"));
    };
    if (state.episode !== null) chip("Episode", state.episode, () => (state.episode = null));
    const undo = () => {
      state.sought = text.value = "";
    };
    if (state.sought) chip(state.within === "text" ? "Texts about" : "Ids with", state.sought, undo);
    chips.replaceChildren(...made);
  }

  function showPager(found, begun, length) {
    const move = (act) => () => {
      act();
      return app.try(load).then(() => list.querySelector(".row")?.focus());
    };
    const last = list.lastElementChild?.firstElementChild;
    const back = move(() => state.pages.pop());
    const on = move(() => state.pages.push(last.dataset.id ?? last.dataset.after));
    const range = length ? `${(begun + 1).toLocaleString("en")}\u2013${(begun + length).toLocaleString("en")}` : "None";
    pager.replaceChildren(
      el("button", { type: "button", disabled: state.pages.length === 1, click: back }, "\u2190 Previous"),
      el("span", {}, range),
      el("button", { type: "button", disabled: !found.more, click: on }, "Next \u2192"),
    );
  }

  function arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [...list.querySelectorAll(".row")];
    const at = rows.indexOf(document.activeElement);
    if (step && at >= 0) {
      event.preventDefault();
      rows[at + step]?.focus();
    }
  }

  function markOpen() {
    for (const row of list.querySelectorAll("[data-id]")) {
      if (row.dataset.id === state.open) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    section.firstElementChild.classList.toggle("opened", state.open !== null);
  }

  async function changed(id) {
    await app.refresh();
    state.loaded = false;
    if (id === null) location.hash = "documents";
    await show(id);
  }

  async function show(id) {
    state.open = id;
    const loading = state.loaded ? null : load();
    markOpen();
    if (id === null) {
      detail.asked = null;
      detail.replaceChildren(el("p", { class: "hint" }, "Choose a document to read it."));
    } else {
      const mark = state.mark?.id === id ? [{ ...state.mark, chosen: true }] : [];
      await showDocument(app, detail, { id, marks: mark, changed, back: "#documents" });
    }
    await loading;
  }

  return { show, reset };
}

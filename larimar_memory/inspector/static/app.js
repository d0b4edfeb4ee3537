// The frame around the views: which one is shown, of which namespace, in which colours.

import { call, takeToken } from "./api.js";
import { askView } from "./ask.js";
import { documentsView } from "./documents.js";
import { healthView } from "./health.js";
import { receiptsView } from "./receipts.js";
import { bytes, count, el, plain, shown } from "./text.js";

const by = (id) => document.getElementById(id);
const SAID_MS = 6000;
const THEMES = ["auto", "light", "dark"];

const app = {
  memory: null,
  namespace: "default",
  slots: null,
  /** Tell of a failure where everybody sees it, and screen readers read it. */
  fail(error) {
    by("alert").replaceChildren(
      el("div", { class: "error" }, shown(error.message), closing(() => by("alert").replaceChildren())),
    );
  },
  say(text) {
    by("status").textContent = text;
    clearTimeout(app.saying);
    app.saying = setTimeout(() => (by("status").textContent = ""), SAID_MS);
  },
  /** Do something that may fail. */
  async try(work) {
    try {
      return await work();
    } catch (error) {
      if (error.name !== "AbortError") app.fail(error);
      return undefined;
    }
  },
  async refresh() {
    app.memory = await call("memory");
    frame();
  },
};

const views = {};

function closing(act) {
  return el("button", { type: "button", class: "quiet", "aria-label": "Dismiss", click: act }, "\u00d7");
}

/** What a memory is called in a title: its file, or its database without who, where and how. */
function called(place) {
  const path = /^postgres(ql)?:/.test(place) ? place.split("?")[0] : place;
  return plain(path.split(/[\\/]/).pop());
}

function frame() {
  const { stats, namespaces, more, write } = app.memory;
  const place = stats.path ?? "in RAM";
  by("place").replaceChildren(
    shown(`${place} \u00b7 ${count(stats.documents, "document")} \u00b7 ${bytes(stats.bytes_on_disk)}`),
  );
  document.title = `${called(place)} \u2013 Larimar inspector`;
  by("mode").textContent = write ? "can write" : "read-only";
  by("mode").classList.toggle("writes", write);
  if (!namespaces.includes(app.namespace) && !more) app.namespace = namespaces[0] ?? "default";
  const named = namespaces.includes(app.namespace) ? namespaces : [app.namespace, ...namespaces];
  const options = named.map((name) => el("option", { value: name }, plain(name)));
  if (more) options.push(el("option", { value: "" }, "Another\u2026"));
  by("namespace").replaceChildren(...options);
  by("namespace").value = app.namespace;
}

function chooseNamespace() {
  const chosen = by("namespace").value || prompt("Name of the namespace") || app.namespace;
  app.namespace = chosen;
  frame();
  Object.values(views).forEach((view) => view.reset());
  if (location.hash.includes("/")) location.hash = location.hash.split("/")[0];
  else route();
}

function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const chosen = name in views ? name : "documents";
  for (const view of Object.keys(views)) by(view).hidden = view !== chosen;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  by("alert").replaceChildren();
  let id = null;
  try {
    id = rest.length ? decodeURIComponent(rest.join("/")) : null;
  } catch {
    // No address that this page made.
  }
  return app.try(() => views[chosen].show(id));
}

function theme(next) {
  const now = next ?? localStorage.getItem("larimar-theme") ?? "auto";
  localStorage.setItem("larimar-theme", now);
  document.documentElement.dataset.theme = now;
  by("theme").textContent = { auto: "\u25d0", light: "\u2600", dark: "\u263e" }[now];
  by("theme").setAttribute("aria-label", `Colours: ${now}. Change`);
  by("theme").title = `Colours: ${now}`;
}

function keys(event) {
  const typing = event.target.matches("input, textarea, select") || document.querySelector("dialog[open]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector("section:not([hidden]) [data-first]");
  if (field) {
    event.preventDefault();
    field.focus();
  }
}

async function start() {
  theme();
  by("theme").addEventListener("click", () => {
    theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
  });
  by("skip").addEventListener("click", (event) => {
    event.preventDefault();
    by("main").focus();
  });
  if (!takeToken()) {
    app.fail(new Error("The address has no token. Open the one that `larimar inspect` printed."));
    return;
  }
  Object.assign(views, {
    documents: documentsView(app, by("documents")),
    ask: askView(app, by("ask")),
    health: healthView(app, by("health")),
    receipts: receiptsView(app, by("receipts")),
  });
  // Both at once: what is seen first waits for one answer.
  const first = app.try(() => app.refresh());
  by("namespace").addEventListener("change", chooseNamespace);
  addEventListener("hashchange", route);
  addEventListener("keydown", keys);
  await first;
  if (app.memory) await route();
}

start();

// What a namespace holds, how full and how sharp it is.

import { call } from "./api.js";
import { columns, gauge, share } from "./plots.js";
import { bytes, el, stored } from "./text.js";

export function healthView(app, section) {
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 3 });

  function figures(rows) {
    return el("dl", { class: "figures" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  function plots(rows) {
    return el(
      "dl", { class: "plots" },
      ...rows.flatMap(([name, value, said, note]) => [
        el("dt", {}, name),
        el("dd", {}, gauge(name, value, { said }), el("b", {}, said), el("span", { class: "hint" }, note)),
      ]),
    );
  }

  async function show() {
    const namespace = app.namespace;
    const stats = await call("stats", { namespace });
    const heading = el("h2", {}, "Namespace ", stored(namespace));
    const held = figures([
      ["documents", number(stats.documents)], ["segments", number(stats.segments)],
      ["characters", number(stats.characters)], ["in all, on disk", bytes(app.memory.stats.bytes_on_disk)],
    ]);
    section.replaceChildren(heading, held, el("p", { class: "hint" }, "Looking at every key\u2026"));
    const health = await call("health", { namespace });
    const keyed = stats.segments ? stats.keyed / stats.segments : 0;
    const fixed = health.mode === "fixed";
    const rank = health.items ? health.effective_rank / health.items : 0;
    section.replaceChildren(
      heading, held,
      el("p", { class: "advice" }, health.advice),
      plots([
        ["Slots in use", health.load, `${number(health.items)} of ${number(health.slots)}`, fixed ? "segments share a fixed number of slots" : "a slot for each segment"],
        ["Keys made", keyed, `${number(stats.keyed)} of ${number(stats.segments)}`, stats.keys === "lazy" ? "the others are made when they are read, or by larimar index" : "made while writing"],
        ["Margin", health.margin, share(health.margin), "how far an item stands out when it is asked for by its own key"],
        ["Recall", health.expected_recall, share(health.expected_recall), "items that come out first when they are asked for by their own key"],
        ["Likeness", health.expected_cosine, share(health.expected_cosine), "cosine of what is read to what was written"],
        ["Directions", rank, number(health.effective_rank), "effective rank: how many directions the keys really use"],
      ]),
      figures([["mode", fixed ? "fixed slots" : "grows"], ["condition", health.condition === null ? "infinite" : Number(health.condition.toPrecision(4)).toLocaleString("en")], ["threshold", share(stats.threshold)]]),
      el("h3", {}, "Slots that the last question addressed"),
      app.slots
        ? columns(`Address weights of ${app.slots.length} slots`, app.slots)
        : el("p", { class: "hint" }, app.asked ? "A segment has a slot of its own: see its weight beside it." : "Nothing was asked yet."),
    );
  }
  return { show, reset() {} };
}

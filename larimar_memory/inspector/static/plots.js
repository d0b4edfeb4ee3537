// Bars and gauges: lengths are set as custom properties, and every figure is also written.

import { el } from "./text.js";

const clamp = (value) => Math.min(Math.max(value, 0), 1);

export function share(value) {
  return value.toFixed(Math.abs(value) < 0.001 && value !== 0 ? 4 : 3);
}

/** A value between 0 and 1, with a mark at another one. */
export function gauge(name, value, { mark = null, said = share(value) } = {}) {
  const bar = el("span", {
    class: "gauge", role: "meter", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "1",
    "aria-valuenow": clamp(value).toFixed(4), "aria-valuetext": said,
  });
  bar.style.setProperty("--value", clamp(value));
  if (mark !== null) {
    bar.classList.add("marked");
    bar.style.setProperty("--mark", clamp(mark));
  }
  return bar;
}

/** Values and their parts of a score, which add or take away, with bars as long as the parts. */
export function parts(caption, rows) {
  const most = Math.max(...rows.map(([, , part]) => Math.abs(part)), 1e-9);
  const body = rows.map(([name, value, part]) => {
    const bar = el("span", { class: part < 0 ? "part less" : "part", "aria-hidden": "true" });
    bar.style.setProperty("--value", Math.abs(part) / most);
    return el(
      "tr", {},
      el("th", { scope: "row" }, name), el("td", { class: "number" }, share(value)),
      el("td", { class: "bars" }, bar), el("td", { class: "number" }, `${part < 0 ? "" : "+"}${share(part)}`),
    );
  });
  return el(
    "table", { class: "parts" },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...["feature", "value", "", "part"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...body),
  );
}

/** Columns of a chart, as many as there is room for; each stands for the largest of its values. */
export function columns(label, values, most = 128) {
  const size = Math.max(1, Math.ceil(values.length / most));
  const tops = [];
  for (let at = 0; at < values.length; at += size) tops.push(Math.max(...values.slice(at, at + size)));
  const top = Math.max(...tops, 1e-12);
  const bars = tops.map((value, n) => {
    const bar = el("span", { title: `${n * size + 1}: ${share(value)}` });
    bar.style.setProperty("--value", value / top);
    return bar;
  });
  return el("div", { class: "columns", role: "img", "aria-label": label }, ...bars);
}

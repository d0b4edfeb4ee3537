// Receipts of what was forgotten.

import { call } from "./api.js";
import { bytes, count, el, stored } from "./text.js";

export function showReceipt(receipt) {
  const { check, documents } = receipt;
  const rows = [
    ["Begun", `${receipt.begun_at} UTC`],
    ["Ended", receipt.ended_at ? `${receipt.ended_at} UTC` : "never: it was interrupted"],
    ["Documents", el("ul", {}, ...documents.map((d) => el("li", {}, stored(d.namespace), ": ", stored(d.id), `, ${count(d.segments, "segment")}`)))],
  ];
  if (check) {
    const files = Object.entries(check.files).map(([name, size]) => el("li", {}, stored(name), `, ${bytes(size)}`));
    rows.push(["Searched", el("ul", {}, ...files)], ["Looked for", count(check.pieces, "piece")]);
    if (check.shared) rows.push(["Shared", `${count(check.shared, "piece")} that other documents hold as well`]);
    for (const [name, found] of [["Left in", check.left_in], ["Not read", check.unread]]) {
      if (found.length) rows.push([name, el("ul", {}, ...found.map((file) => el("li", {}, stored(file))))]);
    }
  }
  rows.push(["Hash", stored(receipt.hash, "code")]);
  const said = receipt.erased ? "\u2713 No byte is left in any file." : "\u26a0 It was not shown that nothing is left.";
  return el(
    "div", { class: "receipt" },
    el("p", { class: receipt.erased ? "good" : "warn" }, said),
    el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  );
}

export function receiptsView(app, section) {
  async function show() {
    const { receipts } = await call("receipts");
    const said = receipts.length
      ? `${count(receipts.length, "receipt")}, all as they were written. A receipt holds ids, counts and hashes, and no text.`
      : app.memory.receipts ? "Nothing was forgotten with a receipt." : "A database keeps no receipts.";
    section.replaceChildren(
      el("h2", {}, "Receipts"),
      el("p", { class: "hint" }, said),
      ...receipts.map((receipt) =>
        el(
          "details", { class: "card" },
          el("summary", {}, `${receipt.erased ? "\u2713" : "\u26a0"} ${receipt.number} \u00b7 ${receipt.begun_at} UTC \u00b7 ${count(receipt.documents.length, "document")}`),
          showReceipt(receipt),
        ),
      ),
    );
  }
  return { show, reset() {} };
}

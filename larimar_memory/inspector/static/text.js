// Stored text is data: it becomes text nodes and nothing else, and what is not seen is marked.

// Controls, marks of direction, and other characters without a shape; joiners shape letters and emoji.
const UNSEEN =
  /\r\n|(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0\u{e0100}-\u{e01ef}]/gu;

const NAMES =
  "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");

function label(char) {
  const code = char.codePointAt(0);
  return NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A text for places that take text alone, such as a title: what is not seen is named. */
export function plain(text) {
  return String(text).replace(UNSEEN, (char) => (char === "\r\n" ? "\n" : `\u27e8${label(char)}\u27e9`));
}

/** A text as nodes, what is not seen as small boxes. */
export function shown(text) {
  const nodes = document.createDocumentFragment();
  let last = 0;
  for (const { 0: char, index } of text.matchAll(UNSEEN)) {
    nodes.append(text.slice(last, index));
    nodes.append(char === "\r\n" ? "\n" : el("span", { class: "unseen" }, label(char)));
    last = index + char.length;
  }
  nodes.append(text.slice(last));
  return nodes;
}

/** An element with attributes (functions are listeners) and children; texts become text nodes. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (typeof value === "boolean") made.toggleAttribute(key, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  put(made, ...children);
  return made;
}

/** Put children in the place of those that an element has; what is null or false is left out. */
export function put(target, ...children) {
  target.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

/** Stored text in an element of its own, whose direction touches nothing around it. */
export function stored(text, name = "bdi", attributes = {}) {
  return el(name, { dir: "auto", ...attributes, class: `stored ${attributes.class ?? ""}` }, shown(String(text)));
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function bytes(number) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(number, 1)) / 3), units.length - 1);
  return `${(number / 1000 ** power).toLocaleString("en", { maximumFractionDigits: 1 })} ${units[power]}`;
}

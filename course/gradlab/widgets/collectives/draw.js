// @ts-check
/** The pictures: the ring, the bytes, the predicted times and the table. They only draw. */

import { html, svg } from "../kit.js";
import { along, arrow, duration, meets, name, rounded, words } from "./values.js";

const REST = 0.55; // where a message lies still on its way
const ASIDE = 15;
const TOKEN = { height: 22, letter: 46, stripe: 9 };
const BARS = { width: 420, label: 118, row: 24, right: 78 };

/** The devices in their ring, and what travels between them. @param {string} letters */
export function ringPlot(letters) {
  const boxes = svg("g");
  const arrows = svg("g");
  const tokens = svg("g");
  const step = svg("text", { class: "gl-centre" });
  const kind = svg("text", { class: "gl-centre gl-kind" });
  const element = svg("svg", { class: "gl-ring", role: "img", tabindex: 0,
    "aria-label": "The ring of devices; right and left arrow keys step through your messages. The table below says the same." },
    arrows, boxes, tokens, step, kind);
  /** @type {any} */
  let play = null;
  /** @type {any[][]} */
  let cells = [];
  /** @type {{group: any, line: import("./values.js").Arrow}[]} */
  let travelling = [];
  let shown = -1;
  return {
    element,
    /** Another story. @param {any} answer */
    build(answer) {
      play = answer;
      shown = -1;
      const { layout } = play;
      element.setAttribute("viewBox", `0 0 ${layout.width} ${layout.height}`);
      for (const [text, y] of /** @type {[any, number][]} */ ([[step, -4], [kind, 16]])) {
        text.setAttribute("x", layout.width / 2);
        text.setAttribute("y", layout.height / 2 + y);
      }
      cells = layout.devices.map(() => layout.cells.map((/** @type {any} */ corner, /** @type {number} */ chunk) =>
        cellGroup(corner, layout.cell, chunk, letters)));
      boxes.replaceChildren(...layout.devices.map((/** @type {any} */ at, /** @type {number} */ device) =>
        deviceGroup(at, layout.box, device, cells[device])));
    },
    /** The devices as after step `held`, the messages of step `at`, `t` of their way gone. @param {number} at @param {number} held @param {number} t */
    draw(at, held, t) {
      const { frames, layout } = play;
      frames[held].cells.forEach((/** @type {any[]} */ row, /** @type {number} */ device) =>
        row.forEach((cell, chunk) => cells[device][chunk].show(cell, layout.cells.length, held > 0)));
      if (at !== shown) {
        shown = at;
        travelling = messageGroups(frames[at], layout, letters);
        arrows.replaceChildren(...travelling.map(({ line }) => lineOf(line)), ...spokes(frames[at], layout));
        tokens.replaceChildren(...travelling.map(({ group }) => group));
        step.textContent = at ? `step ${at} of ${frames.length - 1}` : "start";
        kind.textContent = frames[at].primitive;
      }
      for (const { group, line } of travelling) {
        const [x, y] = along(line, t * REST);
        group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      }
    },
  };
}

/** @param {[number, number]} at @param {any} box @param {number} device @param {any[]} cells */
function deviceGroup([x, y], { width, height }, device, cells) {
  return svg("g", { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    svg("rect", { class: "gl-box", x: -width / 2, y: -height / 2, width, height, rx: 5 }),
    svg("text", { class: "gl-device", y: -height / 2 + 14 }, `device ${device}`),
    ...cells.map(({ group }) => group));
}

/** @param {[number, number]} corner @param {{width: number, height: number}} size @param {number} chunk @param {string} letters */
function cellGroup([x, y], size, chunk, letters) {
  const [width, height] = [size.width - 3, size.height - 3];
  const level = svg("rect", { class: "gl-level", width });
  const frame = svg("rect", { class: "gl-cell", width, height, rx: 2 });
  const text = svg("text", { class: "gl-share", x: width / 2, y: 23 });
  const title = svg("title");
  const group = svg("g", { class: `gl-series-${chunk}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    title, level, frame, svg("text", { class: "gl-letter", x: width / 2, y: 10 }, letters[chunk]), text);
  return {
    group,
    /** @param {any} cell @param {number} count @param {boolean} moved */
    show(cell, count, moved) {
      const full = (height * cell.count) / count;
      level.setAttribute("y", height - full);
      level.setAttribute("height", full);
      text.textContent = cell.text;
      title.textContent = cell.wrong || words(cell, count);
      frame.setAttribute("class", `gl-cell${cell.wrong ? " gl-wrong" : cell.count === count ? " gl-whole" : ""}`);
      text.setAttribute("class", `gl-share${cell.fresh && moved ? " gl-fresh" : ""}${cell.wrong ? " gl-wrong" : ""}`);
    },
  };
}

/** @param {any} frame @param {any} layout @param {string} letters */
function messageGroups({ messages }, layout, letters) {
  return messages
    .filter((/** @type {any} */ m) => m.source !== m.target)
    .map((/** @type {any} */ message) => ({
      line: arrow(layout.devices[message.source], layout.devices[message.target], layout.box, meets(messages, message) ? ASIDE : 0),
      group: token(message.parts, letters),
    }));
}

/** A message: one chunk with its number, or a stripe for each of several. @param {any[]} parts @param {string} letters */
function token(parts, letters) {
  const width = parts.length === 1 ? TOKEN.letter : parts.length * TOKEN.stripe + 6;
  const box = { x: -width / 2, y: -TOKEN.height / 2, width, height: TOKEN.height, rx: 6 };
  const series = (/** @type {any} */ part) => (part.chunk === null ? "" : `gl-series-${part.chunk}`);
  const inside = parts.length === 1
    ? [svg("rect", { class: "gl-tint", ...box }), svg("text", { y: 4 }, name(parts[0], letters))]
    : parts.map((part, i) => svg("rect", { class: `gl-stripe ${series(part)}`, x: box.x + 3 + i * TOKEN.stripe, y: box.y + 3,
        width: TOKEN.stripe - 1, height: TOKEN.height - 6 }));
  const wrong = parts.some((part) => part.wrong);
  return svg("g", { class: `gl-token ${parts.length === 1 ? series(parts[0]) : ""}${wrong ? " gl-wrong" : ""}` },
    svg("title", {}, parts.map((part) => name(part, letters)).join(", ")), svg("rect", { class: "gl-ground", ...box }), ...inside);
}

/** @param {import("./values.js").Arrow} line */
function lineOf({ from, to }) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]].map((v) => v / Math.hypot(to[0] - from[0], to[1] - from[1]));
  const wing = (/** @type {number} */ side) => `${(to[0] - 8 * dx + side * dy).toFixed(1)} ${(to[1] - 8 * dy - side * dx).toFixed(1)}`;
  const text = (/** @type {number[]} */ at) => at.map((v) => v.toFixed(1)).join(" ");
  return svg("path", { class: "gl-arrow", d: `M${text(from)}L${text(to)}M${wing(4)}L${text(to)}L${wing(-4)}` });
}

/** Of a collective that is the library's: everybody takes part, and nobody sees how. @param {any} frame @param {any} layout */
function spokes({ primitive }, { devices, width, height }) {
  if (!primitive || primitive === "ppermute") return [];
  return devices.map((/** @type {number[]} */ [x, y]) => svg("path", { class: "gl-spoke", d: `M${width / 2} ${height / 2}L${x} ${y}` }));
}

/** Bars with their names and values; a mark across the first. @param {string} label */
export function barPlot(label) {
  const element = svg("svg", { class: "gl-bars", role: "img" });
  return {
    element,
    /** @param {{name: string, value: number | null, text: string, kind?: string}[]} rows @param {{value: number, text: string} | null} mark */
    draw(rows, mark) {
      const height = rows.length * BARS.row + (mark ? 16 : 0);
      const most = Math.max(...rows.map(({ value }) => value ?? 0), mark?.value ?? 0) || 1;
      const scale = (/** @type {number} */ value) => BARS.label + (value / most) * (BARS.width - BARS.label - BARS.right);
      element.setAttribute("viewBox", `0 0 ${BARS.width} ${height}`);
      element.setAttribute("aria-label", `${label}: ${rows.map((row) => `${row.name} ${row.text}`).join(", ")}${mark ? `, ${mark.text}` : ""}`);
      element.replaceChildren(...rows.flatMap((row, i) => bar(row, i * BARS.row, scale(row.value ?? 0))),
        ...(mark ? marked(mark.text, scale(mark.value), height) : []));
    },
  };
}

/** @param {{name: string, text: string, kind?: string}} row @param {number} y @param {number} end */
function bar({ name: title, text, kind }, y, end) {
  return [
    svg("text", { x: BARS.label - 8, y: y + 16, "text-anchor": "end" }, title),
    svg("rect", { class: `gl-bar-fill ${kind ?? ""}`, x: BARS.label, y: y + 4, width: Math.max(end - BARS.label, 0.5), height: BARS.row - 8, rx: 2 }),
    svg("text", { x: end + 6, y: y + 16, class: "gl-bar-text" }, text),
  ];
}

/** @param {string} text @param {number} x @param {number} height */
function marked(text, x, height) {
  return [svg("path", { class: "gl-bound", d: `M${x} 0V${height - 14}` }), svg("text", { x, y: height - 3, "text-anchor": "middle" }, text)];
}

/** What each device holds and sends, as text. @param {string} letters */
export function deviceTable(letters) {
  const head = html("tr");
  const body = html("tbody");
  const element = html("div", { class: "gl-scroll", tabindex: 0, role: "group", "aria-label": "The devices as a table" },
    html("table", { class: "gl-table" }, html("caption", {}, "What each device holds, and what it sends in this step"), html("thead", {}, head), body));
  return {
    element,
    /** @param {any} frame */
    draw({ cells, messages }) {
      const size = cells.length;
      const names = ["device", ...letters.slice(0, size), "sends"];
      if (head.children.length !== names.length) head.replaceChildren(...names.map((text) => html("th", { scope: "col" }, text)));
      body.replaceChildren(...cells.map((/** @type {any[]} */ row, /** @type {number} */ device) =>
        html("tr", {}, html("th", { scope: "row" }, String(device)),
          ...row.map((cell) => html("td", { class: cell.wrong ? "gl-bad" : "" }, words(cell, size))),
          html("td", {}, sends(messages, device, letters)))));
    },
  };
}

/** @param {any[]} messages @param {number} device @param {string} letters */
function sends(messages, device, letters) {
  const mine = messages.filter(({ source }) => source === device);
  return mine.map(({ parts, target }) => `${parts.map((/** @type {any} */ part) => name(part, letters)).join(", ")} to ${target}`).join("; ") || "nothing";
}

/** The rows of predicted times. @param {number | null} yours @param {{ring: number, tree: number, naive: number}} others */
export function timeRows(yours, { ring, tree, naive }) {
  const row = (/** @type {string} */ title, /** @type {number} */ value, kind = "") => ({ name: title, value, text: duration(value), kind });
  const first = yours === null ? { name: "yours", value: null, text: "not sent by you", kind: "" } : row("yours", yours, "gl-mine");
  return [first, row("ring, at the bound", ring), row("tree", tree), row("whole vectors", naive)];
}

/** The row of bytes sent so far; null, if the library sent them. @param {number | null} sent */
export function byteRow(sent) {
  return [{ name: "busiest device", value: sent, text: sent === null ? "not sent by you" : rounded(sent), kind: "gl-mine" }];
}

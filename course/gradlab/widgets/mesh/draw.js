// @ts-check
/** The pictures: the mesh, the memory, and the tables. They only draw. */

import { html, svg } from "../kit.js";
import { held, percent, segments, sent, size, total, tuple } from "./values.js";

const BAR = { width: 340, left: 98, right: 62, row: 30, tall: 20, letter: 15 };

/**
 * `draw`, but not again for the same.
 * @template {any[]} A @param {(...what: A) => void} draw @returns {(...what: A) => void}
 */
function onChange(draw) {
  let last = "";
  return (...what) => {
    const now = JSON.stringify(what);
    if (now === last) return;
    last = now;
    draw(...what);
  };
}

/** The devices with their slices of one parameter. */
export function meshPlot() {
  const element = svg("svg", { class: "gl-mesh", role: "img" });
  return {
    element,
    draw: onChange((/** @type {any} */ { width, height, heads, devices }, /** @type {string} */ name) => {
      element.setAttribute("viewBox", `0 0 ${width} ${height}`);
      element.setAttribute("aria-label", `Which slice of ${name} each device holds. A table below says the same.`);
      element.replaceChildren(
        ...heads.map((/** @type {any} */ head) => svg("text", { class: "gl-head", x: head.x, y: head.y, "text-anchor": head.anchor }, head.text)),
        ...devices.map(deviceGroup));
    }),
  };
}

/** @param {any} device @param {number} number */
function deviceGroup(device, number) {
  const at = { x: device.at.x, "text-anchor": device.at.anchor };
  return svg("g", { class: `gl-series-${device.series}` },
    svg("rect", { class: "gl-box", ...device.box, rx: 5 }),
    svg("rect", { class: "gl-slice", ...device.slice }),
    svg("rect", { class: "gl-whole", ...device.map }),
    svg("text", { ...at, y: device.at.y }, `device ${number}`),
    svg("text", { ...at, y: device.at.y + 16, class: "gl-indices" }, device.short));
}

/** Memory on a device, stacked: by the student's specs, and with everything whole. */
export function memoryPlot() {
  const drawing = svg("svg", { class: "gl-memory", role: "img" });
  const list = html("ul", { class: "gl-legend" });
  const waste = html("p", {});
  const show = onChange((/** @type {Record<string, number>} */ memory, /** @type {Record<string, number>} */ alone, /** @type {number} */ copies) => {
    const most = Math.max(total(memory), total(alone));
    drawing.setAttribute("viewBox", `0 0 ${BAR.width} ${2 * BAR.row}`);
    drawing.setAttribute("aria-label", `Memory on each device: by your specs ${size(total(memory))}, all weights whole ${size(total(alone))}`);
    drawing.replaceChildren(...stack("by your specs", memory, most, 0), ...stack("weights whole", alone, most, 1));
    list.replaceChildren(...Object.entries(memory).map(([name, bytes], i) =>
      html("li", { class: `gl-series-${i}` }, html("span", { class: "gl-key", "aria-hidden": true }, name[0].toUpperCase()), `${name} ${size(bytes)}`)));
    waste.textContent = copies > 0.0005
      ? `${percent(copies)} of the memory for weights and their state holds copies of what another device holds.`
      : "No device holds a copy of what another holds.";
  });
  return {
    element: html("div", {}, drawing, list, waste),
    /** @param {any} answer @param {any} setting */
    draw({ memory, alone, copies }, setting) {
      show(held(memory, setting), held(alone, setting), copies);
    },
  };
}

/** @param {string} title @param {Record<string, number>} memory @param {number} most @param {number} row */
function stack(title, memory, most, row) {
  const width = BAR.width - BAR.left - BAR.right;
  const y = row * BAR.row + 4;
  const parts = segments(memory, most, width);
  const end = BAR.left + parts.reduce((sum, part) => sum + part.width, 0);
  return [
    svg("text", { x: BAR.left - 8, y: y + 15, "text-anchor": "end" }, title),
    ...parts.map((part, i) => svg("rect", { class: `gl-part gl-series-${i}`, x: BAR.left + part.x, y, width: part.width, height: BAR.tall })),
    ...parts.filter((part) => part.width > BAR.letter).map((part) =>
      svg("text", { class: "gl-initial", x: BAR.left + part.x + part.width / 2, y: y + 15, "text-anchor": "middle" }, part.letter)),
    svg("text", { x: end + 6, y: y + 15 }, size(total(memory))),
  ];
}

/** @param {string} caption @param {string[]} names @param {string} [kind] */
function table(caption, names, kind = "") {
  const body = html("tbody");
  const head = html("tr", {}, ...names.map((text) => html("th", { scope: "col" }, text)));
  const element = html("div", { class: "gl-scroll", tabindex: 0, role: "group", "aria-label": caption },
    html("table", { class: `gl-table ${kind}` }, html("caption", {}, caption), html("thead", {}, head), body));
  return { element, body };
}

/** The collectives of a training step. */
export function collectiveTable() {
  const { element, body } = table("Collectives of a training step", ["collective", "along", "of what", "how many", "sent by each"], "gl-collectives");
  const show = onChange((/** @type {string[][]} */ rows) =>
    body.replaceChildren(...rows.map(([first, ...rest]) =>
      html("tr", {}, html("th", { scope: "row" }, first), ...rest.map((text) => html("td", {}, text))))));
  return {
    element,
    /** @param {any[]} collectives @param {any} setting @param {Record<string, number>} itemsizes */
    draw(collectives, setting, itemsizes) {
      const bytes = collectives.map((one) => sent(one, setting, itemsizes));
      const sum = bytes.reduce((all, one) => all + one, 0);
      const count = collectives.reduce((many, one) => many + one.count, 0);
      const rows = collectives.map((one, i) => [one.kind, one.axis, one.why, String(one.count), size(bytes[i])]);
      show([...rows, ["in all", "", "", String(count), size(sum)]]);
    },
  };
}

/** The slices of the chosen parameter, as text. */
export function sliceTable() {
  const { element, body } = table("Which slice each device holds", ["device", "data", "model", "slice"]);
  return {
    element: html("details", {}, html("summary", {}, "The slices as a table"), element),
    draw: onChange((/** @type {any} */ { devices }) => {
      body.replaceChildren(...devices.map((/** @type {any} */ { data, model, text }, /** @type {number} */ number) =>
        html("tr", {}, html("th", { scope: "row" }, String(number)), ...[data, model, text].map((cell) => html("td", {}, String(cell))))));
    }),
  };
}

/** All parameters, each a button that draws it; `choose` gets the name. @param {(name: string) => void} choose */
export function parameterTable(choose) {
  const { element, body } = table("All parameters", ["parameter", "shape", "spec", "slice", "on a device", "copies"], "gl-parameters");
  /** @type {Map<string, any>} */
  const rows = new Map();
  return {
    element,
    /** @param {any[]} parameters @param {string} chosen */
    draw(parameters, chosen) {
      for (const parameter of parameters) {
        if (!rows.has(parameter.name)) {
          const row = parameterRow(parameter.name, () => choose(parameter.name));
          rows.set(parameter.name, row);
          body.append(row.element);
        }
        rows.get(parameter.name).show(parameter, parameter.name === chosen);
      }
    },
  };
}

/** @param {string} name @param {() => void} choose */
function parameterRow(name, choose) {
  const toggle = html("button", { type: "button", class: "gl-toggle", "aria-pressed": "false", title: "Draw it" }, name);
  toggle.addEventListener("click", choose);
  const [shape, spec, slice, bytes, copies] = Array.from({ length: 5 }, () => html("td"));
  return {
    element: html("tr", {}, html("th", { scope: "row" }, toggle), shape, spec, slice, bytes, copies),
    show: onChange((/** @type {any} */ parameter, /** @type {boolean} */ chosen) => {
      toggle.setAttribute("aria-pressed", String(chosen));
      shape.textContent = tuple(parameter.shape);
      spec.replaceChildren(html("code", {}, parameter.spec || "no spec"), ...(parameter.edited ? [" edited"] : []),
        ...(parameter.error ? [html("span", { class: "gl-error" }, parameter.error)] : []));
      slice.textContent = tuple(parameter.shard);
      bytes.textContent = size(parameter.bytes);
      copies.textContent = String(parameter.copies);
    }),
  };
}

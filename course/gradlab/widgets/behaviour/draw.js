// @ts-check
/** The pictures of the behaviour view: map, hidden units, losses, table. They only draw; view.js says what. */

import { html, svg } from "../kit.js";
import { line, lossScales, logTicks, number, onSurface, planeScales, ticks } from "../optimizer_race/geometry.js";
import { activePart, peakOf, shade } from "./pixels.js";

const PLANE = { width: 360, height: 360, left: 0, right: 360, top: 0, bottom: 360 };
const CURVES = { width: 360, height: 190, left: 44, right: 350, top: 10, bottom: 166 };
// A logit margin of 4 is a probability of 98 %.
const SURE = 4;
const SHAPES = ["M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z", "M-3.6-3.6H3.6V3.6H-3.6Z"];

/** @param {HTMLCanvasElement} canvas @param {Float32Array} values @param {number} size @param {number} peak */
function paintCanvas(canvas, values, size, peak) {
  canvas.width = canvas.height = size;
  canvas.getContext("2d")?.putImageData(new ImageData(shade(values, size, peak), size, size), 0, 0);
}

/** The large map with its points and the brush. @param {any} config */
export function plane(config) {
  const canvas = html("canvas", { class: "gl-canvas", "aria-hidden": true });
  const points = svg("g", { "aria-hidden": true });
  const brush = svg("g", { class: "gl-brush", role: "slider", tabindex: 0, "aria-label": "Brush",
    "aria-roledescription": "two-dimensional slider; Enter paints", "aria-valuemin": config.window[0], "aria-valuemax": config.window[1] },
    svg("circle", { r: 11, class: "gl-halo" }), svg("path", { d: "M-8 0H8M0-8V8", class: "gl-cross" }));
  const drawing = svg("svg", { viewBox: `0 0 ${PLANE.width} ${PLANE.height}`, class: "gl-overlay", role: "group", "aria-label": "Map of the plane" },
    points, svg("rect", { class: "gl-frame", x: 0.5, y: 0.5, width: 359, height: 359 }), brush);
  const caption = html("p", { class: "gl-maplabel" });
  const scales = planeScales(PLANE, config.window);
  const mark = (/** @type {number[]} */ [x, y, c], /** @type {string} */ kind) =>
    svg("path", { d: SHAPES[c], class: `gl-point gl-class-${c} ${kind}`, transform: `translate(${scales.x(x).toFixed(1)} ${scales.y(y).toFixed(1)})` });
  return {
    element: html("div", { class: "gl-plane" }, html("div", { class: "gl-square" }, canvas, drawing), caption),
    drawing,
    brush,
    scales,
    /** @param {any} scene */
    draw({ maps, train, test, painted, enlarged }) {
      const values = maps.unit ?? maps.margin;
      paintCanvas(canvas, values, config.map, maps.unit ? peakOf(values) : SURE);
      const given = train.length - painted.length;
      points.replaceChildren(...test.map((/** @type {number[]} */ p) => mark(p, "gl-test")),
        ...train.map((/** @type {number[]} */ p, /** @type {number} */ i) => mark(p, i < given ? "" : "gl-painted")));
      caption.textContent = enlarged
        ? `Layer ${enlarged[0] + 1}, unit ${enlarged[1] + 1}, before its ReLU: orange where it is above 0, blue below.`
        : "Orange where the network decides for class 1, blue for class 0, faint where it is unsure. Filled points train it, hollow ones test it.";
    },
    /** Show a stroke at once; the kernel's answer draws it again. @param {number[]} point */
    dab(point) {
      if (point[2] >= 0) points.append(mark(point, "gl-painted"));
    },
    /** @param {number[]} place */
    setBrush([x, y]) {
      brush.setAttribute("transform", `translate(${scales.x(x)} ${scales.y(y)})`);
      brush.setAttribute("aria-valuenow", x);
      brush.setAttribute("aria-valuetext", `x ${number(x)}, y ${number(y)}`);
    },
  };
}

/** The small maps, a row for each hidden layer. @param {any} config @param {(layer: number, unit: number) => void} choose */
export function unitMaps(config, choose) {
  const element = html("div", { class: "gl-units" });
  /** @type {any[][]} */
  let rows = [];
  const make = (/** @type {Float32Array[]} */ units, /** @type {number} */ layer) => {
    const buttons = units.map((_, unit) => {
      const canvas = html("canvas", { "aria-hidden": true });
      const button = html("button", { type: "button", class: "gl-unit", "aria-pressed": "false" }, canvas);
      button.addEventListener("click", () => choose(layer, unit));
      return { button, canvas };
    });
    element.append(html("div", { class: "gl-layer", role: "group", "aria-label": `Hidden layer ${layer + 1}` },
      html("span", { class: "gl-layername" }, `layer ${layer + 1}`), ...buttons.map((b) => b.button)));
    return buttons;
  };
  return {
    element,
    /** @param {any} scene */
    draw({ maps, enlarged }) {
      if (rows.length !== maps.units.length || rows.some((row, i) => row.length !== maps.units[i].length)) {
        element.replaceChildren();
        rows = maps.units.map(make);
      }
      maps.units.forEach((/** @type {Float32Array[]} */ units, /** @type {number} */ layer) =>
        units.forEach((values, unit) => {
          const { button, canvas } = rows[layer][unit];
          paintCanvas(canvas, values, config.small, peakOf(values));
          button.setAttribute("aria-pressed", String(enlarged?.[0] === layer && enlarged[1] === unit));
          button.setAttribute("aria-label", `layer ${layer + 1}, unit ${unit + 1}, active on ${Math.round(100 * activePart(values))} % of the plane`);
        }));
    },
  };
}

/** Train and test loss over the steps, and the numbers of now. */
export function losses() {
  const names = ["train", "test"];
  const lines = names.map((_, i) => svg("path", { class: `gl-path gl-series-${i}` }));
  const axes = svg("g", { class: "gl-axes" });
  const drawing = svg("svg", { viewBox: `0 0 ${CURVES.width} ${CURVES.height}`, role: "img", "aria-label": "Loss over the steps; the table below holds the numbers" }, axes, ...lines);
  const step = html("th", { scope: "col" });
  const cells = names.map(() => [html("td"), html("td")]);
  const swatch = (/** @type {number} */ i) => svg("svg", { viewBox: "0 0 34 14", class: `gl-swatch gl-series-${i}`, "aria-hidden": true }, svg("path", { d: "M1 7H33", class: "gl-path" }));
  const table = html("table", { class: "gl-scores" },
    html("thead", {}, html("tr", {}, step, html("th", { scope: "col" }, "loss"), html("th", { scope: "col" }, "accuracy"))),
    html("tbody", {}, ...names.map((name, i) => html("tr", {}, html("th", { scope: "row" }, swatch(i), ` ${name}`), ...cells[i]))));
  return {
    element: html("div", { class: "gl-losses" }, drawing, table),
    /** @param {any} scene */
    draw({ step: now, history, scores }) {
      const last = Math.max(20, history.at(-1)?.[0] ?? 0);
      const seen = history.flatMap((/** @type {number[]} */ h) => h.slice(1)).filter((/** @type {number} */ v) => Number.isFinite(v) && v > 0);
      const range = { floor: 0, low: Math.min(0.1, ...seen) / 1.3, high: Math.max(1, ...seen) * 1.3 };
      const scales = lossScales(CURVES, last, range);
      axes.replaceChildren(...lossAxes(last, range, scales));
      lines.forEach((path, i) => {
        const run = new Float32Array(history.flatMap((/** @type {number[]} */ h) => [h[0], h[1 + i], 0]));
        path.setAttribute("d", line(run, 0, history.length - 1, onSurface(scales)));
      });
      step.textContent = `step ${now}`;
      names.forEach((name, i) => {
        cells[i][0].textContent = number(scores[name].loss);
        cells[i][1].textContent = `${Math.round(100 * scores[name].accuracy)} %`;
      });
    },
  };
}

/** @param {number} last @param {{low: number, high: number}} range @param {any} scales */
function lossAxes(last, { low, high }, scales) {
  const { left, right, top, bottom } = CURVES;
  const marks = [];
  for (const loss of logTicks(low, high)) {
    const y = scales.y(loss);
    marks.push(svg("line", { x1: left, x2: right, y1: y, y2: y }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, number(loss)));
  }
  for (const step of ticks(0, last, 3)) marks.push(svg("text", { x: scales.x(step), y: bottom + 17, "text-anchor": "middle" }, step ? String(step) : "step 0"));
  marks.push(svg("rect", { class: "gl-frame", x: left, y: top, width: right - left, height: bottom - top }));
  return marks;
}

/**
 * The weights into one unit, a number to type and a slider for each.
 * @param {(source: number, value: number) => void} edit
 */
export function weightPanel(edit) {
  const title = html("p", { class: "gl-weightstitle" });
  const list = html("div", { class: "gl-weights" });
  let shape = "";
  /** @type {{source: number, slide: HTMLInputElement, type: HTMLInputElement}[]} */
  let rows = [];
  const make = (/** @type {number} */ source, /** @type {string} */ name) => {
    const slide = html("input", { type: "range", min: -4, max: 4, step: 0.02, "aria-label": `${name}, slider` });
    const type = html("input", { type: "number", step: 0.1, "aria-label": name });
    slide.addEventListener("input", () => edit(source, slide.valueAsNumber));
    type.addEventListener("change", () => Number.isFinite(type.valueAsNumber) && edit(source, type.valueAsNumber));
    list.append(html("div", { class: "gl-weight" }, html("span", {}, name), slide, type));
    return { source, slide, type };
  };
  return {
    element: html("div", {}, title, list),
    /** @param {any} scene */
    draw({ layers, chosen }) {
      if (!chosen || !layers.length) return;
      const [layer, unit] = chosen;
      const { weight, bias } = layers[layer];
      const from = weight.map((/** @type {number[]} */ _, /** @type {number} */ i) => (layer ? `from unit ${i + 1}` : `from x${i + 1}`));
      if (shape !== JSON.stringify([layer, from.length])) {
        shape = JSON.stringify([layer, from.length]);
        list.replaceChildren();
        rows = [...from.map((/** @type {string} */ name, /** @type {number} */ i) => make(i, name)), make(-1, "bias")];
      }
      title.textContent = `Into ${layer === layers.length - 1 ? `the logit of class ${unit}` : `unit ${unit + 1} of layer ${layer + 1}`}`;
      for (const { source, slide, type } of rows) {
        const value = source < 0 ? bias[unit] : weight[source][unit];
        // What is being typed or dragged is left alone.
        if (document.activeElement !== slide) slide.value = String(value);
        if (document.activeElement !== type) type.value = value.toFixed(2);
      }
    },
  };
}

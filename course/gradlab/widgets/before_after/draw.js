// @ts-check
/** The pictures of the explorer: histograms, the sample rows, the accuracies. They only draw. */

import { html, svg } from "../kit.js";
import { BINS, extent, gain, histogram, mean, short } from "./values.js";

const PANEL = { width: 210, height: 120, left: 4, right: 206, top: 6, bottom: 112 };
const DOTS = { width: 560, left: 190, right: 500, row: 34, low: 0.4, high: 1 };

/**
 * A stage's histogram: filled bars for training rows, outlines for validation rows.
 * @param {{title: string, note: string, values: Float32Array, train: Uint8Array | null}} stage
 */
export function panel({ title, note, values, train }) {
  const { low, high, gaps, empty } = extent(values);
  const caption = empty ? "no number at all" : `${short(low)} to ${short(high)}`;
  const text = `${values.length} rows, ${gaps} ${gaps === 1 ? "gap" : "gaps"}`;
  const picture = svg("svg", { viewBox: `0 0 ${PANEL.width} ${PANEL.height}`, role: "img",
    "aria-label": `Histogram, ${title}: ${text}, ${caption}` }, ...(empty ? [] : bars(values, train, low, high)),
    svg("path", { d: `M${PANEL.left} ${PANEL.bottom}H${PANEL.right}`, class: "gl-base" }));
  return html("div", { class: "gl-panel" }, html("h4", {}, title), picture,
    html("p", { class: "gl-range" }, html("span", {}, empty ? "" : short(low)), html("span", {}, empty ? "" : short(high))),
    html("p", { class: "gl-note" }, text), html("p", { class: "gl-note" }, note));
}

/** @param {Float32Array} values @param {Uint8Array | null} train @param {number} low @param {number} high */
function bars(values, train, low, high) {
  const parts = train
    ? [values.filter((_, row) => train[row]), values.filter((_, row) => !train[row])]
    : [values];
  const counts = parts.map((part) => histogram(part, low, high));
  const top = Math.max(1, ...counts.flat());
  const step = (PANEL.right - PANEL.left) / BINS;
  const height = PANEL.bottom - PANEL.top;
  return counts.flatMap((series, which) => series.map((count, bin) => svg("rect", {
    class: train === null ? "gl-bar" : which ? "gl-bar gl-bar-valid" : "gl-bar gl-bar-train",
    x: (PANEL.left + bin * step + 0.5).toFixed(1), width: (step - 1).toFixed(1),
    y: (PANEL.bottom - (height * count) / top).toFixed(1), height: ((height * count) / top).toFixed(1),
    visibility: count ? null : "hidden" })));
}

/** The panel of a step that did not work. @param {string} title @param {string} problem */
export function broken(title, problem) {
  return html("div", { class: "gl-panel gl-broken" }, html("h4", {}, title), html("p", { class: "gl-problem" }, problem));
}

/** The panel of a step after which the column is not there any more. @param {string} title @param {string} note */
export function absent(title, note) {
  return html("div", { class: "gl-panel" }, html("h4", {}, title),
    html("p", { class: "gl-note" }, "This column was not chosen."), html("p", { class: "gl-note" }, note));
}

/**
 * The sample rows: raw text, then the value after each stage.
 * @param {{titles: string[], rows: {id: number, cells: string[]}[], caption: string}} table
 */
export function sampleTable({ titles, rows, caption }) {
  const cell = (/** @type {string} */ text) => html("td", {}, text);
  return html("table", { class: "gl-samples" }, html("caption", {}, caption),
    html("thead", {}, html("tr", {}, ...["id", ...titles].map((title) => html("th", { scope: "col" }, title)))),
    html("tbody", {}, ...rows.map(({ id, cells }) =>
      html("tr", {}, html("th", { scope: "row" }, String(id)), ...cells.map(cell)))));
}

/**
 * The validation accuracies: a dot for each split, a bar at the mean, one row for each way to fit.
 * @param {Record<string, number[]>} found
 * @param {string} chosen
 */
export function accuracyPlot(found, chosen) {
  const height = 2 * DOTS.row + 34;
  const place = (/** @type {number} */ value) =>
    DOTS.left + ((DOTS.right - DOTS.left) * (Math.max(value, DOTS.low) - DOTS.low)) / (DOTS.high - DOTS.low);
  const names = { train: "fitted on training rows", all: "fitted on all rows" };
  const rows = Object.entries(names).flatMap(([fit, name], row) => {
    const y = 8 + row * DOTS.row;
    const own = { class: `gl-fit gl-series-${row} ${fit === chosen ? "" : "gl-dim"}` };
    return svg("g", own, svg("text", { x: DOTS.left - 14, y: y + 13, "text-anchor": "end" }, name),
      ...found[fit].map((value, i) => svg("circle", { cx: place(value).toFixed(1), cy: (y + 9 + 7 * Math.sin(2.4 * i)).toFixed(1), r: 3.2 })),
      svg("rect", { x: (place(mean(found[fit])) - 1.5).toFixed(1), y: y - 4, width: 3, height: 26 }),
      svg("text", { x: DOTS.right + 14, y: y + 13 }, mean(found[fit]).toFixed(3)));
  });
  const axis = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1].flatMap((value) => [
    svg("path", { d: `M${place(value)} ${height - 26}v4`, class: "gl-base" }),
    svg("text", { x: place(value), y: height - 8, "text-anchor": "middle" }, value.toFixed(1))]);
  return svg("svg", { viewBox: `0 0 ${DOTS.width} ${height}`, role: "img", class: "gl-dots", "aria-label": verdict(found) },
    ...rows, svg("path", { d: `M${DOTS.left} ${height - 26}H${DOTS.right}`, class: "gl-base" }), ...axis);
}

/** What the accuracies say, as a sentence. @param {Record<string, number[]>} found */
export function verdict({ train, all }) {
  const { middle, error } = gain(train, all);
  const sign = middle < 0 ? "\u2212" : "+";
  return `Validation accuracy ${mean(train).toFixed(3)} fitted on training rows, ${mean(all).toFixed(3)} fitted on all ` +
    `rows: ${sign}${Math.abs(middle).toFixed(3)} \u00b1 ${error.toFixed(3)}.`;
}

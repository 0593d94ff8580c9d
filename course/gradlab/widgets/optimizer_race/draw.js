// @ts-check
/** The race's three pictures: surface, loss curves and table. They only draw; what to draw comes from view.js. */

import { html, svg } from "../kit.js";
import { line, logTicks, lossScales, number, onCurve, onSurface, planeScales, ticks } from "./geometry.js";

/** @typedef {import("./geometry.js").LaneRun} LaneRun */
/** @typedef {{name: string, series: number, eager: string | null}} Lane */
/**
 * @typedef {object} Scene
 * @property {LaneRun[]} lanes
 * @property {number} step
 * @property {number | null} focus the lane that is pointed at
 * @property {boolean[]} shown
 */

// As high as the surface, so that the two stand side by side on one base line.
const CURVES = { width: 400, height: 360, left: 44, right: 388, top: 12, bottom: 336 };

/** @type {Record<string, string>} */
const KINDS = { follows: "gl-quiet", departs: "gl-bad", diverged: "gl-bad" };

/**
 * A drawing in the drawing, which cuts off what leaves the frame.
 * @param {import("./geometry.js").Frame} frame
 * @param {number} margin left and right, for markers on the edge
 * @param {...Node} children
 */
function inset({ left, top, right, bottom }, margin, ...children) {
  const [x, width, height] = [left - margin, right - left + 2 * margin, bottom - top];
  return svg("svg", { x, y: top, width, height, viewBox: `${x} ${top} ${width} ${height}` }, ...children);
}

/**
 * The library's band, the path still ahead, the path so far and the marker of one lane.
 * @param {Lane} lane
 * @param {string[]} markers
 */
function laneGroup(lane, markers) {
  const parts = {
    band: svg("path", { class: "gl-band" }),
    ahead: svg("path", { class: "gl-path gl-ahead" }),
    done: svg("path", { class: "gl-path" }),
    marker: svg("path", { class: "gl-marker", d: markers[lane.series] }),
  };
  const group = svg("g", { class: `gl-lane gl-series-${lane.series}` }, ...Object.values(parts));
  return { group, ...parts };
}

/**
 * @param {ReturnType<typeof laneGroup>} parts
 * @param {LaneRun} run
 * @param {(run: Float32Array, step: number) => [number, number]} place
 * @param {number} step
 */
function drawLane({ band, ahead, done, marker }, { path, ghost }, place, step) {
  const last = path.length / 3 - 1;
  band.setAttribute("d", line(ghost, 0, last, place));
  done.setAttribute("d", line(path, 0, step, place));
  ahead.setAttribute("d", line(path, step, last, place));
  const [x, y] = place(path, step);
  const seen = Math.abs(x) < 1e4 && Math.abs(y) < 1e4;
  marker.setAttribute("visibility", seen ? "inherit" : "hidden");
  if (seen) marker.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
}

/**
 * @param {ReturnType<typeof laneGroup>[]} groups
 * @param {Scene} scene
 */
function mark(groups, { shown, focus }) {
  groups.forEach(({ group }, lane) => {
    group.classList.toggle("gl-hidden", !shown[lane]);
    group.classList.toggle("gl-dim", focus !== null && focus !== lane);
  });
}

/** The surface with its contours, the paths and the start. @param {any} config */
export function surfacePlot(config) {
  const { frame, markers } = config;
  const groups = config.lanes.map((/** @type {Lane} */ lane) => laneGroup(lane, markers));
  const ground = svg("g", { "aria-hidden": true });
  const axes = svg("g", { class: "gl-axes", "aria-hidden": true });
  const handle = svg("g", { class: "gl-start", role: "slider", tabindex: 0, "aria-label": "Start of the race",
    "aria-roledescription": "two-dimensional slider" },
    svg("circle", { r: 14, class: "gl-halo" }), svg("circle", { r: 6.5, class: "gl-knob" }));
  const lanes = svg("g", { "aria-hidden": true }, ...groups.map((/** @type {any} */ g) => g.group));
  const element = svg("svg", { viewBox: `0 0 ${frame.width} ${frame.height}`, class: "gl-surface", role: "group",
    "aria-label": "Surface with the path of each optimizer" },
    inset(frame, 0, ground, lanes), axes, handle);
  let scales = planeScales(frame, [0, 1, 0, 1]);
  return {
    element,
    handle,
    get scales() {
      return scales;
    },
    /** @param {any} surface @param {{regions: string[]}} shape */
    setSurface(surface, { regions }) {
      scales = planeScales(frame, surface.window);
      ground.replaceChildren(
        ...regions.toReversed().map((d) => svg("path", { d, class: "gl-region" })),
        ...surface.minima.map((/** @type {number[]} */ [x, y]) =>
          svg("path", { class: "gl-minimum", d: "M-5 0H5M0-5V5", transform: `translate(${scales.x(x)} ${scales.y(y)})` })),
      );
      axes.replaceChildren(...planeAxes(frame, surface.window, scales));
      handle.setAttribute("aria-valuemin", surface.window[0]);
      handle.setAttribute("aria-valuemax", surface.window[1]);
    },
    /** @param {[number, number]} start */
    setStart([x, y]) {
      handle.setAttribute("transform", `translate(${scales.x(x)} ${scales.y(y)})`);
      handle.setAttribute("aria-valuenow", x);
      handle.setAttribute("aria-valuetext", `x ${number(x)}, y ${number(y)}`);
    },
    /** @param {Scene} scene */
    draw(scene) {
      mark(groups, scene);
      scene.lanes.forEach((run, lane) => drawLane(groups[lane], run, onSurface(scales), scene.step));
    },
  };
}

/** @param {any} frame @param {number[]} window @param {ReturnType<typeof planeScales>} scales */
function planeAxes(frame, [left, right, bottom, top], scales) {
  const marks = [svg("rect", { class: "gl-frame", x: frame.left, y: frame.top,
    width: frame.right - frame.left, height: frame.bottom - frame.top })];
  for (const x of ticks(left, right, 8)) {
    marks.push(svg("text", { x: scales.x(x), y: frame.bottom + 17, "text-anchor": "middle" }, number(Number(x.toFixed(6)))));
  }
  for (const y of ticks(bottom, top, 6)) {
    marks.push(svg("text", { x: frame.left - 6, y: scales.y(y) + 4, "text-anchor": "end" }, number(Number(y.toFixed(6)))));
  }
  return marks;
}

/** The loss of every lane at each step. @param {any} config */
export function lossPlot(config) {
  const { steps } = config;
  const groups = config.lanes.map((/** @type {Lane} */ lane) => laneGroup(lane, config.markers));
  const axes = svg("g", { class: "gl-axes" });
  const rule = svg("line", { class: "gl-now", y1: CURVES.top, y2: CURVES.bottom });
  const element = svg("svg", { viewBox: `0 0 ${CURVES.width} ${CURVES.height}`, class: "gl-curves", role: "img",
    "aria-label": "Loss of each optimizer at each step; the table below holds the numbers" },
    axes, rule, inset(CURVES, 6, ...groups.map((/** @type {any} */ g) => g.group)));
  let scales = lossScales(CURVES, steps, { floor: 0, low: 1, high: 10 });
  return {
    element,
    get scales() {
      return scales;
    },
    /** @param {{floor: number, low: number, high: number}} range */
    setRange(range) {
      scales = lossScales(CURVES, steps, range);
      axes.replaceChildren(...curveAxes(steps, range, scales));
    },
    /** @param {Scene} scene */
    draw(scene) {
      mark(groups, scene);
      rule.setAttribute("x1", scales.x(scene.step).toFixed(1));
      rule.setAttribute("x2", scales.x(scene.step).toFixed(1));
      scene.lanes.forEach((run, lane) => drawLane(groups[lane], run, onCurve(scales), scene.step));
    },
  };
}

/**
 * @param {number} steps
 * @param {{floor: number, low: number, high: number}} range
 * @param {ReturnType<typeof lossScales>} scales
 */
function curveAxes(steps, { floor, low, high }, scales) {
  const { left, right, top, bottom } = CURVES;
  const marks = [svg("text", { x: right - 8, y: top + 18, "text-anchor": "end", class: "gl-caption" }, floor === 0 ? "loss" : "loss above the minimum")];
  for (const loss of logTicks(low, high)) {
    const y = scales.y(floor + loss);
    marks.push(svg("line", { x1: left, x2: right, y1: y, y2: y }));
    marks.push(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, number(loss)));
  }
  for (const step of ticks(0, steps, 3)) {
    marks.push(svg("text", { x: scales.x(step), y: bottom + 17, "text-anchor": "middle" }, step ? String(step) : "step 0"));
  }
  marks.push(svg("rect", { class: "gl-frame", x: left, y: top, width: right - left, height: bottom - top }));
  return marks;
}

/** The numbers: for each lane its loss now, when it arrives, and the verdict. @param {any} config */
export function laneTable(config) {
  const heading = html("th", { scope: "col", class: "gl-number" });
  const rows = config.lanes.map((/** @type {Lane} */ lane) => laneRow(lane, config.markers));
  const element = html("table", { class: "gl-table" },
    html("caption", {}, "The race in numbers"),
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "optimizer"), heading,
      html("th", { scope: "col", class: "gl-number", title: "The first step with 1 % of the height at the start left" }, "reaches 1 %"),
      html("th", { scope: "col" }, "verdict"))),
    html("tbody", {}, ...rows.map((/** @type {any} */ row) => row.element)));
  return {
    element,
    rows,
    /** @param {Scene} scene */
    draw({ lanes, step, shown, focus }) {
      heading.textContent = `loss at ${step}`;
      lanes.forEach(({ path, finish }, lane) => {
        const row = rows[lane];
        row.loss.textContent = number(path[3 * step + 2]);
        row.arrives.textContent = finish.problem ? "–" : finish.arrives === null ? "not yet" : `step ${finish.arrives}`;
        row.toggle.setAttribute("aria-pressed", String(shown[lane]));
        row.element.classList.toggle("gl-focus", focus === lane);
        row.setVerdict(finish);
      });
    },
  };
}

/** @param {Lane} lane @param {string[]} markers */
function laneRow(lane, markers) {
  const swatch = svg("svg", { viewBox: "0 0 34 14", class: "gl-swatch", "aria-hidden": true },
    svg("path", { d: "M1 7H33", class: "gl-path" }),
    svg("path", { d: markers[lane.series], class: "gl-marker", transform: "translate(17 7)" }));
  const toggle = html("button", { type: "button", class: "gl-toggle", "aria-pressed": "true", title: "Show or hide" }, swatch, lane.name);
  const [loss, arrives, verdict] = ["gl-number", "gl-number", "gl-verdict"].map((c) => html("td", { class: c }));
  const element = html("tr", { class: `gl-series-${lane.series}` }, html("th", { scope: "row" }, toggle), loss, arrives, verdict);
  let written = "";
  return {
    element,
    toggle,
    loss,
    arrives,
    /** @param {import("./geometry.js").Finish} finish */
    setVerdict(finish) {
      // A dragged start redraws the table sixty times a second: leave alone what says the same.
      const text = JSON.stringify(finish);
      if (text === written) return;
      written = text;
      verdict.replaceChildren(...badges(finish, lane.eager));
    },
  };
}

/** @param {import("./geometry.js").Finish} finish @param {string | null} eager */
function badges({ problem, waiting, badges: words }, eager) {
  const badge = (/** @type {string} */ text, kind = "") => html("span", { class: `gl-badge ${kind}` }, text);
  if (problem) return [badge(problem, waiting ? "gl-quiet" : "gl-bad")];
  const kinds = words.map((word) => badge(word, KINDS[word.split(" ")[0]]));
  if (eager) kinds.push(badge(`runs step by step: JAX could not trace it (${eager.split(":")[0]})`, "gl-quiet"));
  return kinds;
}

// @ts-check
/** Gradient flow: the map of layers and steps, the chosen cell, and the settings. */

import { button, choice, copy, html, latest, slider, svg, view } from "../kit.js";

const MAP = { width: 500, height: 314, left: 46, right: 492, top: 10, bottom: 292 };
const SMALL = { width: 400, height: 160, left: 46, right: 392, top: 22, bottom: 128 };
const WEIGHTS = [
  { value: "yours", text: "your deep_init" }, { value: "glorot", text: "variance 1/n" }, { value: "he", text: "variance 2/n" },
  { value: "small", text: "variance 1/(4n), too small" }, { value: "large", text: "variance 4/n, too large" },
];
const OPTIMIZERS = [{ value: "sgd", text: "SGD" }, { value: "adam", text: "Adam" }];
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

/** @param {number} power log10 of a number */
const tenTo = (power) => (Number.isFinite(power) ? Number((10 ** power).toPrecision(2)).toString() : "not finite");

/** A linear scale. @param {number} from @param {number} to @param {number} start @param {number} end */
const scale = (from, to, start, end) => (/** @type {number} */ value) => start + ((value - from) / (to - from || 1)) * (end - start);

/** @param {any} frame @param {string} label @param {string} below */
function plot(frame, label, below) {
  const marks = svg("g", { "aria-hidden": true });
  const axes = svg("g", { class: "gl-axes", "aria-hidden": true });
  const element = svg("svg", { viewBox: `0 0 ${frame.width} ${frame.height}`, role: "img", "aria-label": label },
    svg("text", { class: "gl-caption", x: frame.left, y: 14 }, label), marks, axes,
    svg("text", { class: "gl-caption", x: frame.right, y: frame.height - 4, "text-anchor": "end" }, below));
  return { element, marks, axes };
}

/** Whole powers of ten between two bounds, at most about six. @param {number} low @param {number} high */
function powers(low, high) {
  const every = Math.max(1, Math.ceil((high - low) / 5));
  const first = Math.ceil(low / every) * every;
  return Array.from({ length: Math.max(0, Math.floor((high - first) / every) + 1) }, (_, i) => first + i * every);
}

class FlowView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.config = stage.config;
    this.setting = { ...stage.config.setting };
    this.time = 0;
    this.layer = 0;
    /** @type {any} */
    this.flow = null;
    this.refresh = latest(() => this.load());
    this.controls = this.makeControls();
    this.map = this.makeMap();
    this.sizes = plot(SMALL, "Size of the gradient by layer, at the chosen step", "layer");
    this.histogram = plot(SMALL, "Entries of the chosen gradient", "size of an entry, powers of ten");
    this.ratios = plot(SMALL, "Update over weight, by layer, at the chosen step", "layer");
    this.verdict = html("p", { class: "gl-verdict", "aria-live": "polite" });
    this.trouble = html("p", { class: "gl-trouble", role: "alert" });
    this.cell = html("p", { class: "gl-hint" });
    this.table = html("tbody");
    stage.root.append(...this.layout());
    this.listen();
    stage.run(() => this.refresh());
  }

  makeControls() {
    const { config, setting } = this;
    const box = (/** @type {string} */ name) => html("input", { type: "checkbox", checked: setting[name] });
    return {
      weights: choice({ label: "Weights", options: WEIGHTS.filter(({ value }) => config.weights.includes(value)), value: setting.weights }),
      optimizer: choice({ label: "Optimizer", options: OPTIMIZERS, value: setting.optimizer ?? "sgd" }),
      activation: choice({ label: "Activation", options: ["tanh", "relu"].map((value) => ({ value, text: value })), value: setting.activation }),
      depth: slider({ label: "depth", stops: config.depths, value: setting.depth }),
      seed: slider({ label: "seed", stops: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], value: setting.seed }),
      step: slider({ label: "training step", stops: config.steps, value: 0 }),
      normalise: box("normalise"),
      residual: box("residual"),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
  }

  makeMap() {
    const cells = svg("g", { "aria-hidden": true });
    const column = svg("rect", { class: "gl-column" });
    const chosen = svg("rect", { class: "gl-chosen" });
    const axes = svg("g", { class: "gl-axes", "aria-hidden": true });
    const element = svg("svg", { viewBox: `0 0 ${MAP.width} ${MAP.height}`, class: "gl-map", tabindex: 0, role: "application",
      "aria-label": "Map of gradient sizes, layers upwards and training steps to the right; arrow keys choose a cell" },
      cells, axes, column, chosen);
    return { element, cells, column, chosen, axes };
  }

  layout() {
    const c = this.controls;
    const head = ["layer", "gradient", "update over weight"].map((text) => html("th", { scope: "col" }, text));
    return [
      html("p", { class: "gl-title" }, "Gradient flow"),
      html("p", { class: "gl-hint" }, "Blue: smaller than at the output. Vermilion: larger. The output is at the top; the gradient walks down."),
      html("div", { class: "gl-choices" }, c.weights.element, c.activation.element,
        ...("optimizer" in this.setting ? [c.optimizer.element] : []), c.depth.element, c.seed.element,
        html("label", {}, c.normalise, " layer norm"), html("label", {}, c.residual, " residual connections"), c.reset, c.copy),
      this.trouble,
      html("div", { class: "gl-flow" }, html("div", {}, this.map.element, c.step.element, this.verdict, this.cell),
        html("div", { class: "gl-side" }, this.sizes.element, this.histogram.element, this.ratios.element)),
      html("details", {}, html("summary", {}, "The chosen step as a table"), html("table", { class: "gl-table" }, html("thead", {}, html("tr", {}, ...head)), this.table)),
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    for (const name of /** @type {const} */ (["weights", "activation", "optimizer"])) {
      on(c[name].select, "change", () => this.change({ [name]: c[name].select.value }));
    }
    for (const name of /** @type {const} */ (["depth", "seed"])) {
      on(c[name].input, "change", () => this.change({ [name]: c[name].value }));
    }
    for (const name of /** @type {const} */ (["normalise", "residual"])) {
      on(c[name], "change", () => this.change({ [name]: c[name].checked }));
    }
    on(c.step.input, "input", () => this.choose(c.step.input.valueAsNumber, this.layer));
    on(c.reset, "click", () => this.reset());
    on(c.copy, "click", () => copy(Object.entries(this.setting).map(([name, value]) => `${name}=${python(value)}`).join(", "), this.stage.say));
    on(this.map.element, "pointerdown", (event) => this.chooseAt(event));
    on(this.map.element, "pointermove", (event) => event.buttons && this.chooseAt(event));
    on(this.map.element, "keydown", (event) => {
      const move = ARROWS[event.key];
      if (!move) return;
      event.preventDefault();
      this.choose(this.time + move[0], this.layer + move[1]);
    });
  }

  /** @param {Partial<typeof this.setting>} some */
  change(some) {
    Object.assign(this.setting, some);
    return this.refresh();
  }

  reset() {
    this.setting = { ...this.config.setting };
    const c = this.controls;
    c.weights.select.value = this.setting.weights;
    c.activation.select.value = this.setting.activation;
    c.optimizer.select.value = this.setting.optimizer ?? "sgd";
    c.depth.value = this.setting.depth;
    c.seed.value = this.setting.seed;
    c.normalise.checked = this.setting.normalise;
    c.residual.checked = this.setting.residual;
    this.time = this.layer = 0;
    this.stage.say("Back at the beginning.");
    return this.refresh();
  }

  async load() {
    const { answer, buffers } = await this.stage.ask("flow", { setting: this.setting });
    const bytes = buffers.map((b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
    const rows = this.setting.depth + 1;
    this.flow = { ...answer, rows, sizes: new Float32Array(bytes[0] ?? 0), counts: new Uint16Array(bytes[1] ?? 0), ratios: new Float32Array(bytes[2] ?? 0) };
    this.trouble.textContent = [answer.problem, answer.departs].filter(Boolean).join(" ");
    this.layer = Math.min(this.layer, rows - 1);
    this.drawMap();
    this.draw();
  }

  /** @param {number} time @param {number} layer */
  choose(time, layer) {
    if (!this.flow) return;
    this.time = Math.max(0, Math.min(time, this.config.steps.length - 1));
    this.layer = Math.max(0, Math.min(layer, this.flow.rows - 1));
    this.controls.step.value = this.config.steps[this.time];
    this.draw();
  }

  /** @param {PointerEvent} event */
  chooseAt(event) {
    const box = this.map.element.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * MAP.width;
    const y = ((event.clientY - box.top) / box.height) * MAP.height;
    const time = Math.floor(((x - MAP.left) / (MAP.right - MAP.left)) * this.config.steps.length);
    this.choose(time, Math.floor(((MAP.bottom - y) / (MAP.bottom - MAP.top)) * this.flow.rows));
  }

  /** Where a cell lies. @param {number} time @param {number} layer */
  box(time, layer) {
    const width = (MAP.right - MAP.left) / this.config.steps.length;
    const height = (MAP.bottom - MAP.top) / this.flow.rows;
    return { x: MAP.left + time * width, y: MAP.bottom - (layer + 1) * height, width, height };
  }

  /** @param {number} time @param {number} layer */
  size(time, layer) {
    return this.flow.sizes[time * this.flow.rows + layer];
  }

  drawMap() {
    const { rows, sizes } = this.flow;
    const { steps, band } = this.config;
    const cells = [];
    for (let time = 0; sizes.length && time < steps.length; time++) {
      for (let layer = 0; layer < rows; layer++) {
        const change = this.size(time, layer) - this.size(time, rows - 1);
        const kind = Number.isFinite(change) ? (change < 0 ? "gl-small" : "gl-great") : "gl-undefined";
        const strength = Number.isFinite(change) ? Math.min(Math.abs(change) / (3 * band), 1).toFixed(2) : 1;
        cells.push(svg("rect", { ...this.box(time, layer), class: kind, "fill-opacity": strength }));
      }
    }
    this.map.cells.replaceChildren(svg("rect", { class: "gl-frame", x: MAP.left, y: MAP.top, width: MAP.right - MAP.left, height: MAP.bottom - MAP.top }), ...cells);
    const label = (/** @type {number} */ layer) => svg("text", { x: MAP.left - 6, y: this.box(0, layer).y + this.box(0, layer).height / 2 + 4, "text-anchor": "end" }, layer === 0 ? "input" : layer);
    const foot = [0, Math.floor(steps.length / 2), steps.length - 1].map((time) =>
      svg("text", { x: this.box(time, 0).x + this.box(time, 0).width / 2, y: MAP.bottom + 16, "text-anchor": "middle" }, steps[time]));
    this.map.axes.replaceChildren(...[...new Set([0, Math.round((rows - 1) / 2), rows - 1])].map(label), ...foot);
  }

  draw() {
    const { sizes, rows, verdicts, measuredBy } = this.flow;
    const shown = sizes.length > 0;
    for (const [mark, box] of [[this.map.chosen, this.box(this.time, this.layer)], [this.map.column, { ...this.box(this.time, rows - 1), height: MAP.bottom - MAP.top }]]) {
      for (const [name, value] of Object.entries(box)) /** @type {any} */ (mark).setAttribute(name, value);
    }
    this.verdict.textContent = shown ? `Step ${this.config.steps[this.time]}. ${verdicts[this.time]}` : "Nothing to show yet.";
    this.cell.textContent = shown ? `Activation ${this.layer}: root mean square ${tenTo(this.size(this.time, this.layer))}. Measured by ${measuredBy}.` : "";
    if (shown) this.drawSide();
    this.stage.drawn();
  }

  drawSide() {
    const { rows, counts, ratios } = this.flow;
    const { bins, lowest, highest, band } = this.config;
    const sizes = Array.from({ length: rows }, (_, layer) => this.size(this.time, layer));
    const end = sizes[rows - 1];
    curve(this.sizes, sizes, 0, Number.isFinite(end) ? [end - band, end + band] : null, this.layer);
    const updates = Array.from(ratios.slice(this.time * (rows - 1), (this.time + 1) * (rows - 1)));
    curve(this.ratios, updates, 1, null, this.layer - 1);
    const from = (this.time * rows + this.layer) * bins;
    const chosen = Array.from(counts.slice(from, from + bins), Number);
    const x = scale(0, bins, SMALL.left, SMALL.right);
    const y = scale(0, Math.max(...chosen, 1), SMALL.bottom, SMALL.top);
    this.histogram.marks.replaceChildren(...chosen.map((count, i) =>
      svg("rect", { class: "gl-bar-mark", x: x(i) + 0.5, width: x(1) - x(0) - 1, y: y(count), height: SMALL.bottom - y(count) })));
    const at = scale(lowest, highest, SMALL.left, SMALL.right);
    this.histogram.axes.replaceChildren(svg("line", { x1: SMALL.left, x2: SMALL.right, y1: SMALL.bottom, y2: SMALL.bottom }),
      ...powers(lowest, highest).map((p) => svg("text", { x: at(p), y: SMALL.bottom + 15, "text-anchor": "middle" }, p)));
    this.table.replaceChildren(...sizes.map((size, layer) =>
      html("tr", {}, html("th", { scope: "row" }, String(layer)), html("td", {}, tenTo(size)), html("td", {}, layer ? tenTo(updates[layer - 1]) : ""))));
  }
}

/**
 * Numbers by layer on a logarithmic scale.
 * @param {ReturnType<typeof plot>} picture @param {number[]} values powers of ten
 * @param {number} first the layer of the first value @param {[number, number] | null} band @param {number} marked
 */
function curve(picture, values, first, band, marked) {
  const finite = values.filter(Number.isFinite);
  const low = Math.max(Math.min(...finite, ...(band ?? [0])) - 0.5, -46);
  const high = Math.max(...finite, ...(band ?? [low + 1])) + 0.5;
  const x = scale(first, first + values.length - 1, SMALL.left, SMALL.right);
  const y = scale(low, high, SMALL.bottom, SMALL.top);
  const points = values.flatMap((value, i) => (Number.isFinite(value) ? [`${x(first + i).toFixed(1)} ${y(value).toFixed(1)}`] : []));
  const parts = [svg("g", { class: "gl-series-0" }, svg("path", { class: "gl-path", d: points.length ? `M${points.join("L")}` : "" }))];
  if (band) parts.unshift(svg("rect", { class: "gl-bands", x: SMALL.left, width: SMALL.right - SMALL.left, y: y(band[1]), height: y(band[0]) - y(band[1]) }));
  if (Number.isFinite(values[marked])) parts.push(svg("circle", { class: "gl-column", cx: x(first + marked), cy: y(values[marked]), r: 5 }));
  picture.marks.replaceChildren(...parts);
  picture.axes.replaceChildren(svg("line", { x1: SMALL.left, x2: SMALL.right, y1: SMALL.bottom, y2: SMALL.bottom }),
    ...powers(low, high).map((p) => svg("text", { x: SMALL.left - 6, y: y(p) + 4, "text-anchor": "end" }, p === 0 ? "1" : `1e${p}`)),
    ...[0, values.length - 1].map((i) => svg("text", { x: x(first + i), y: SMALL.bottom + 15, "text-anchor": "middle" }, first + i)));
}

/** A value as Python writes it. @param {any} value */
const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : typeof value === "string" ? `"${value}"` : String(value));

export default view((stage) => {
  new FlowView(stage);
});

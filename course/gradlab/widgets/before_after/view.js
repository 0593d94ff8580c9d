// @ts-check
/** The before/after explorer: what is touched, what is asked of the kernel, and when the pictures are drawn. */

import { button, choice, copy, html, latest, view } from "../kit.js";
import { absent, accuracyPlot, broken, panel, sampleTable, verdict } from "./draw.js";
import { samples, shifted, short } from "./values.js";

const SAMPLES = 7;
const FITS = ["train", "all"];

class ExplorerView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.config = stage.config;
    this.begin();
    /** @type {{step: string, problem: string | null, kept?: number[][], assays?: number[], values?: Float32Array}[]} */
    this.stages = [];
    /** @type {number[]} */
    this.ids = [];
    /** @type {Uint8Array | null} */
    this.train = null;
    /** @type {any} The accuracies, or the problem in their place; null while they are measured. */
    this.accuracy = null;
    this.controls = {
      column: choice({ label: "Column", value: this.column,
        options: this.config.columns.map((/** @type {any} */ c) => ({ value: c.name, text: c.unit ? `${c.name} (${c.unit})` : c.name })) }),
      fit: choice({ label: "Fit on", value: this.fit,
        options: [{ value: "train", text: "training rows" }, { value: "all", text: "all rows (a leak)" }] }),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
    this.list = html("ol", { class: "gl-steps", "aria-label": "Steps, in order" });
    this.panels = html("div", { class: "gl-panels" });
    this.table = html("div", { class: "gl-table" });
    this.dots = html("div", { class: "gl-accuracy" });
    this.refresh = latest(() => this.ask());
    stage.root.append(...this.layout());
    this.listen();
    this.showSteps();
    stage.run(() => this.refresh());
  }

  begin() {
    const { column, steps, fit_on } = structuredClone(this.config.setting);
    this.column = column;
    this.fit = fit_on;
    const others = steps.filter((/** @type {string} */ step) => step !== "clean");
    const left = this.config.steps.filter((/** @type {string} */ step) => step !== "clean" && !others.includes(step));
    this.order = ["clean", ...others, ...left];
    this.enabled = new Set(steps);
  }

  get steps() {
    return this.order.filter((/** @type {string} */ step) => this.enabled.has(step));
  }

  layout() {
    const c = this.controls;
    const key = html("p", { class: "gl-key" }, html("span", { class: "gl-swatch gl-swatch-train" }), "training rows ",
      html("span", { class: "gl-swatch gl-swatch-valid" }), "validation rows, outlined");
    return [
      html("div", { class: "gl-header" }, html("p", { class: "gl-title" }, "Before and after"),
        html("p", { class: "gl-hint" }, "Your functions, one after the other. Switch a step off, move it, or fit it on all rows.")),
      html("div", { class: "gl-choices" }, c.column.element, c.fit.element, c.reset, c.copy),
      this.list, key, this.panels, this.table,
      html("h4", { class: "gl-heading" }, "Validation accuracy in 12 splits, three nearest neighbours"), this.dots,
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    on(c.column.select, "change", () => {
      this.column = c.column.select.value;
      this.draw();
    });
    on(c.fit.select, "change", () => {
      this.fit = c.fit.select.value;
      this.draw();
    });
    on(c.reset, "click", () => {
      this.begin();
      c.column.select.value = this.column;
      c.fit.select.value = this.fit;
      this.stage.say("Back at the beginning.");
      return this.change();
    });
    on(c.copy, "click", () => {
      const steps = this.steps.map((/** @type {string} */ step) => `"${step}"`).join(", ");
      return copy(`column="${this.column}", steps=(${steps}${this.steps.length === 1 ? "," : ""}), fit_on="${this.fit}"`, this.stage.say);
    });
  }

  /** The steps as a list with a box and two buttons each. */
  showSteps() {
    const { titles } = this.config;
    this.list.replaceChildren(...this.order.map((/** @type {string} */ step, /** @type {number} */ place) => {
      const box = html("input", { type: "checkbox", checked: this.enabled.has(step) });
      const name = titles[step].toLowerCase();
      const [back, on] = [["\u2190", "earlier", -1], ["\u2192", "later", 1]].map(([sign, word, by]) => {
        const element = button(String(sign));
        element.setAttribute("aria-label", `${titles[step]}: ${word}`);
        element.disabled = shifted(this.order, step, Number(by)) === this.order;
        this.stage.on(element, "click", () => this.move(step, Number(by), String(word)));
        return element;
      });
      this.stage.on(box, "change", () => {
        if (box.checked) this.enabled.add(step);
        else this.enabled.delete(step);
        return this.change();
      });
      return html("li", { "data-step": step }, html("label", {}, box, ` ${place + 1}. ${name}`), ...(place ? [back, on] : []));
    }));
  }

  /** @param {string} step @param {number} by @param {string} word */
  move(step, by, word) {
    this.order = shifted(this.order, step, by);
    const done = this.change();
    // The list is made anew: the button that was pressed must keep the focus, or its neighbour where it is at the end.
    const buttons = [...this.list.querySelectorAll(`[data-step="${step}"] button`)];
    const pressed = buttons.find((b) => b.getAttribute("aria-label")?.endsWith(word));
    (pressed && !pressed.disabled ? pressed : buttons.find((b) => !b.disabled))?.focus();
    this.stage.say(`${this.config.titles[step]} is now step ${this.order.indexOf(step) + 1}.`);
    return done;
  }

  change() {
    this.showSteps();
    return this.refresh();
  }

  /** Ask the kernel for the stages, draw them, and then for the accuracies, which take longer. */
  async ask() {
    const { steps } = this;
    const { answer, buffers } = await this.stage.ask("stages", { steps });
    let place = 0;
    this.stages = answer.stages.map((/** @type {any} */ stage) =>
      (stage.problem === null ? { ...stage, values: floats(buffers[place++]) } : stage));
    this.ids = answer.ids;
    this.train = place < buffers.length ? new Uint8Array(copyOf(buffers[place])) : null;
    this.accuracy = null;
    this.draw();
    const measured = (await this.stage.ask("accuracy", { steps })).answer;
    if (steps.join() !== this.steps.join()) return;
    this.accuracy = measured;
    this.stage.say(measured.problem ?? verdict(measured));
    this.draw();
  }

  /** The values of the chosen column after a stage. @param {any} stage */
  values(stage) {
    const columns = this.config.columns.length;
    const rows = stage.step === "raw" ? this.config.rawIds.length : this.ids.length;
    const column = this.config.columns.findIndex((/** @type {any} */ c) => c.name === this.column);
    const first = stage.step === "raw" ? 0 : FITS.indexOf(this.fit) * columns * rows;
    return stage.values.subarray(first + column * rows, first + (column + 1) * rows);
  }

  /** Whether the chosen column is still there after a stage. @param {any} stage */
  isKept(stage) {
    const column = this.config.columns.findIndex((/** @type {any} */ c) => c.name === this.column);
    return stage.step === "raw" || stage.kept[FITS.indexOf(this.fit)].includes(column);
  }

  /** What is said below a panel. @param {any} stage */
  note(stage) {
    if (stage.step === "raw") return "read as they stand, units and all";
    if (stage.step === "clean") return `beside it, ${this.config.assays} columns of noise`;
    if (stage.step === "choose") return `${stage.assays[FITS.indexOf(this.fit)]} of the chosen columns are noise`;
    return "";
  }

  draw() {
    const { titles } = this.config;
    const good = this.stages.filter((stage) => stage.problem === null);
    this.panels.replaceChildren(...this.stages.map((stage) => {
      const title = titles[stage.step] ?? "Split";
      if (stage.problem !== null) return broken(title, stage.problem);
      if (!this.isKept(stage)) return absent(title, this.note(stage));
      const train = stage.step === "raw" ? null : this.train;
      return panel({ title, note: this.note(stage), values: this.values(stage), train });
    }));
    this.table.replaceChildren(this.rows(good));
    this.dots.replaceChildren(this.accuracy === null ? html("p", { class: "gl-note" }, "measuring …")
      : this.accuracy.problem ? html("p", { class: "gl-problem" }, this.accuracy.problem)
      : accuracyPlot(this.accuracy, this.fit));
    this.stage.drawn();
  }

  /** @param {any[]} good */
  rows(good) {
    const { rawIds, rawCells, columns, titles } = this.config;
    const column = columns.findIndex((/** @type {any} */ c) => c.name === this.column);
    const later = good.filter((stage) => stage.step !== "raw");
    const rows = samples(rawIds, rawCells[column], SAMPLES).map((row) => {
      const place = this.ids.indexOf(rawIds[row]);
      const after = later.map((stage) => (place < 0 ? "no such row" : !this.isKept(stage) ? "not chosen" : short(this.values(stage)[place])));
      return { id: rawIds[row], cells: [rawCells[column][row], ...after] };
    });
    return sampleTable({ titles: ["raw cell", ...later.map((stage) => titles[stage.step].toLowerCase())], rows,
      caption: `Sample rows of ${this.column}` });
  }
}

/** @param {DataView} data */
function copyOf(data) {
  return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
}

/** @param {DataView} data */
function floats(data) {
  return new Float32Array(copyOf(data));
}

export default view((stage) => {
  new ExplorerView(stage);
});

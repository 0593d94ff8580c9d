// @ts-check
/** The mesh explorer: what is touched, what is asked of the kernel, and when the pictures are drawn. */

import { button, choice, copy, html, latest, slider, view } from "../kit.js";
import { keywords } from "./values.js";
import { collectiveTable, memoryPlot, meshPlot, parameterTable, sliceTable } from "./draw.js";

class MeshView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.setting = structuredClone(stage.config.setting);
    /** @type {any} */
    this.answer = null;
    this.frame = 0;
    this.mesh = meshPlot();
    this.memory = memoryPlot();
    this.collectives = collectiveTable();
    this.slices = sliceTable();
    this.parameters = parameterTable((name) => stage.run(() => this.change({ parameter: name })));
    this.controls = this.makeControls();
    this.refresh = latest(() => this.load());
    stage.root.append(...this.layout());
    this.listen();
    stage.run(() => this.refresh());
  }

  makeControls() {
    const { config } = this.stage;
    const { setting } = this;
    const options = (/** @type {string[]} */ values) => values.map((value) => ({ value, text: value }));
    const meshes = config.meshes.map((/** @type {string} */ value) => {
      const [data, model] = value.split("x");
      return { value, text: `${data} data × ${model} model` };
    });
    return {
      mesh: choice({ label: "Mesh", options: meshes, value: setting.mesh }),
      batch: slider({ label: "batch, sequences", stops: config.batches, value: setting.batch }),
      precision: choice({ label: "Precision", options: options(Object.keys(config.itemsizes)), value: setting.precision }),
      spec: html("input", { type: "text", class: "gl-spec", spellcheck: "false", autocomplete: "off" }),
      yours: button("Your function's spec"),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
  }

  layout() {
    const c = this.controls;
    const hint = "The specs are your function's. Choose a parameter below, reshape the mesh, or write another spec.";
    this.problem = html("p", { class: "gl-failure", hidden: true });
    this.name = html("span", { class: "gl-name" });
    this.error = html("p", { class: "gl-error", "aria-live": "polite" });
    this.story = html("div", {},
      html("div", { class: "gl-editor" }, this.name, c.spec, c.yours),
      this.error,
      html("div", { class: "gl-drawing" }, this.mesh.element),
      this.slices.element,
      html("div", { class: "gl-panels" },
        html("div", {}, html("p", { class: "gl-name" }, "Memory on each device"), this.memory.element),
        this.collectives.element),
      this.parameters.element);
    return [
      html("p", { class: "gl-title" }, "Your model on a mesh"),
      html("p", { class: "gl-hint" }, hint),
      html("div", { class: "gl-choices" }, c.mesh.element, c.precision.element, c.batch.element, c.reset, c.copy),
      this.problem,
      this.story,
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    on(c.mesh.select, "change", () => this.change({ mesh: c.mesh.select.value }));
    // These two change no slice: the view has all that it needs.
    on(c.precision.select, "change", () => {
      this.setting.precision = c.precision.select.value;
      this.draw();
    });
    on(c.batch.input, "input", () => {
      this.setting.batch = c.batch.value;
      this.draw();
    });
    on(c.spec, "input", () => this.change({ edits: { ...this.setting.edits, [this.setting.parameter]: c.spec.value } }));
    on(c.yours, "click", () => {
      const { [this.setting.parameter]: _, ...edits } = this.setting.edits;
      return this.change({ edits });
    });
    on(c.reset, "click", () => {
      this.stage.say("Back at the beginning.");
      return this.change(structuredClone(this.stage.config.setting));
    });
    on(c.copy, "click", () => copy(keywords(this.setting), this.stage.say));
  }

  /** @param {object} some */
  change(some) {
    Object.assign(this.setting, some);
    return this.refresh();
  }

  async load() {
    const { answer } = await this.stage.ask("lay", { setting: structuredClone(this.setting) });
    this.answer = answer;
    this.draw();
  }

  /** Draw at the next frame, once, however often it is asked for. */
  draw() {
    this.frame ||= requestAnimationFrame(() => this.stage.run(() => this.paint()));
  }

  paint() {
    this.frame = 0;
    const { answer, setting, problem, story } = this;
    if (!answer || !problem || !story) return;
    problem.hidden = !answer.problem;
    problem.textContent = answer.problem;
    story.hidden = Boolean(answer.problem);
    this.showControls();
    if (!answer.problem) {
      this.mesh.draw(answer.drawing, setting.parameter);
      this.slices.draw(answer.drawing);
      this.memory.draw(answer, setting);
      this.collectives.draw(answer.collectives, setting, this.stage.config.itemsizes);
      this.parameters.draw(answer.rows, setting.parameter);
    }
    this.stage.drawn();
  }

  /** Let every control show the setting; the spec only where nobody is writing it. */
  showControls() {
    const { setting, answer } = this;
    const c = this.controls;
    c.mesh.select.value = setting.mesh;
    c.precision.select.value = setting.precision;
    c.batch.value = setting.batch;
    const row = answer.rows.find((/** @type {any} */ one) => one.name === setting.parameter);
    const writing = document.activeElement === c.spec && row.edited;
    if (!writing) c.spec.value = row.spec;
    c.spec.setAttribute("aria-label", `partition spec of ${setting.parameter}`);
    c.spec.setAttribute("aria-invalid", String(Boolean(row.error)));
    c.yours.disabled = !row.edited;
    /** @type {HTMLElement} */ (this.name).textContent = setting.parameter;
    /** @type {HTMLElement} */ (this.error).textContent = row.error;
  }
}

export default view((stage) => {
  new MeshView(stage);
});

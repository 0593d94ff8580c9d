// @ts-check
/** The optimizer race: what is touched, what is asked of the kernel, and when the pictures are drawn. */

import { button, choice, copy, html, latest, slider, stillness, view } from "../kit.js";
import { insideWindow, keywords, lossRange, nearest, number, onSurface, outcome, pixel, unpack } from "./geometry.js";
import { laneTable, lossPlot, surfacePlot } from "./draw.js";

const IDLE_MS = 250;
const STEPS_PER_SECOND = 30;
const JUMP = 10;
const REACH = 14;
const DECAYS = Array.from({ length: 100 }, (_, i) => i / 100);
const KNOBS = /** @type {const} */ (["condition", "seed", "learning_rate", "decay", "b1", "b2"]);
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
const B2 = [0, 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];

class RaceView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    const { config } = stage;
    this.config = config;
    this.setting = structuredClone(config.setting);
    this.step = config.steps;
    /** @type {number | null} The step that the pointer shows for a moment. */
    this.glance = null;
    /** @type {number | null} */
    this.focus = null;
    this.shown = config.lanes.map(() => true);
    /** @type {Map<number, import("./geometry.js").LaneRun[]>} The lanes by learning rate, for the setting `banked`. */
    this.runs = new Map();
    this.banked = "";
    /** @type {import("./geometry.js").LaneRun[]} What is drawn. */
    this.lanes = [];
    this.shape = "";
    this.playing = false;
    this.frame = 0;
    this.idle = 0;
    this.surface = surfacePlot(config);
    this.losses = lossPlot(config);
    this.table = laneTable(config);
    this.controls = this.makeControls();
    this.refresh = latest(() => this.race());
    stage.root.append(...this.layout());
    this.listen();
    this.showSetting();
    stage.run(() => this.refresh());
  }

  get place() {
    return this.config.surfaces.find((/** @type {any} */ s) => s.name === this.setting.surface);
  }

  get rate() {
    return this.config.learningRates.indexOf(this.controls.learning_rate.value);
  }

  makeControls() {
    const { config, setting } = this;
    const rates = { label: "learning rate", stops: config.learningRates, value: setting.learning_rate, text: number };
    return {
      surface: choice({ label: "Surface", value: setting.surface,
        options: config.surfaces.map((/** @type {any} */ s) => ({ value: s.name, text: s.title })) }),
      condition: slider({ label: "condition number", stops: config.conditions, value: setting.condition }),
      seed: slider({ label: "seed of the slice", stops: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], value: setting.seed }),
      learning_rate: slider(rates),
      decay: slider({ label: "decay", stops: DECAYS, value: setting.decay }),
      b1: slider({ label: "b1", stops: DECAYS, value: setting.b1 }),
      b2: slider({ label: "b2", stops: B2, value: setting.b2 }),
      step: slider({ label: "step", stops: Array.from({ length: config.steps + 1 }, (_, i) => i), value: config.steps }),
      x: html("input", { type: "number", step: 0.01, "aria-label": "start x" }),
      y: html("input", { type: "number", step: 0.01, "aria-label": "start y" }),
      play: button(""),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
  }

  layout() {
    const c = this.controls;
    const hint = "Drag the start. Each line is your function at work; the pale band below it is where optax goes.";
    return [
      html("div", { class: "gl-header" },
        html("p", { class: "gl-title" }, "Optimizer race"), html("p", { class: "gl-hint" }, hint)),
      html("div", { class: "gl-choices" }, c.surface.element, c.condition.element, c.seed.element,
        html("span", { class: "gl-pair" }, "start", c.x, c.y), html("span", { class: "gl-pair" }, c.reset, c.copy)),
      html("div", { class: "gl-panels" }, this.surface.element, this.losses.element),
      html("div", { class: "gl-transport" }, c.play, c.step.element),
      html("div", { class: "gl-knobs" }, c.learning_rate.element, c.decay.element, c.b1.element, c.b2.element),
      this.table.element,
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    on(c.surface.select, "change", () => this.moveTo(c.surface.select.value));
    for (const name of KNOBS) {
      on(c[name].input, "input", () => this.change({ [name]: c[name].value }));
    }
    on(c.step.input, "input", () => this.goTo(c.step.input.valueAsNumber));
    on(c.x, "change", () => this.moveStart(c.x.valueAsNumber, this.setting.start[1]));
    on(c.y, "change", () => this.moveStart(this.setting.start[0], c.y.valueAsNumber));
    on(c.play, "click", () => this.play());
    on(c.reset, "click", () => this.reset());
    on(c.copy, "click", () => copy(keywords(this.setting, this.place.knob), this.stage.say));
    on(this.surface.handle, "keydown", (event) => this.nudge(event));
    on(this.surface.element, "pointerdown", (event) => this.drag(event));
    on(this.surface.element, "pointermove", (event) => this.pointAt(event));
    on(this.surface.element, "pointerleave", () => this.look(null, null));
    on(this.losses.element, "pointermove", (event) => this.look(this.stepUnder(event), this.focus));
    on(this.losses.element, "pointerdown", (event) => this.goTo(this.stepUnder(event)));
    on(this.losses.element, "pointerleave", () => this.look(null, null));
    this.table.rows.forEach((/** @type {any} */ row, /** @type {number} */ lane) => {
      on(row.toggle, "click", () => {
        this.shown[lane] = !this.shown[lane];
        this.draw();
      });
      on(row.element, "pointerenter", () => this.look(null, lane));
      on(row.element, "pointerleave", () => this.look(null, null));
      on(row.toggle, "focus", () => this.look(null, lane));
      on(row.toggle, "blur", () => this.look(null, null));
    });
    on(matchMedia("(prefers-reduced-motion: reduce)"), "change", () => this.showPlay());
    this.stage.signal.addEventListener("abort", () => this.stop());
  }

  /** Another surface, with the start and learning rate that suit it. @param {string} name */
  moveTo(name) {
    const { start, learning_rate } = this.config.surfaces.find((/** @type {any} */ s) => s.name === name);
    this.change({ surface: name, start: [...start], learning_rate });
  }

  /** @param {number} x @param {number} y */
  moveStart(x, y) {
    if (Number.isFinite(x) && Number.isFinite(y)) this.change({ start: insideWindow(x, y, this.place.window) });
    else this.showSetting();
  }

  reset() {
    this.stop();
    this.step = this.config.steps;
    this.shown.fill(true);
    this.change(structuredClone(this.config.setting));
    this.stage.say("Back at the beginning.");
  }

  /** @param {Partial<typeof this.setting>} some */
  change(some) {
    Object.assign(this.setting, some);
    this.showSetting();
    return this.runs.has(this.rate) && this.banked === this.bankKey() ? this.draw() : this.refresh();
  }

  /** What a bank of learning rates holds for. A function that is called step by step has only the rate that was asked. */
  bankKey() {
    const eager = this.config.lanes.some((/** @type {any} */ lane) => lane.eager);
    return JSON.stringify({ ...this.setting, learning_rate: eager ? this.setting.learning_rate : null });
  }

  /** Ask the kernel for what the setting says, and draw it. */
  async race() {
    const { ask, run } = this.stage;
    const { place } = this;
    const key = this.bankKey();
    const setting = structuredClone(this.setting);
    const shape = JSON.stringify([setting.surface, setting[place.knob ?? "surface"]]);
    const [race, surface] = await Promise.all([
      ask("race", { setting, bank: false }),
      shape === this.shape ? null : ask("surface", setting),
    ]);
    if (surface) {
      this.shape = shape;
      this.surface.setSurface(place, surface.answer);
      this.losses.setRange(lossRange(place.floor, surface.answer.lowest, surface.answer.highest));
      this.showSetting();
    }
    this.runs = unpack(race.answer, race.buffers, this.config.steps);
    this.banked = key;
    this.draw();
    clearTimeout(this.idle);
    this.idle = setTimeout(() => run(() => this.settle(key, setting)), IDLE_MS);
  }

  /** Nothing moves any more: tell how it ended, and fetch all learning rates, so that their slider needs no kernel. */
  async settle(/** @type {string} */ key, /** @type {object} */ setting) {
    this.stage.say(outcome(this.config.lanes, this.lanes));
    if (this.config.lanes.some((/** @type {any} */ lane) => lane.eager)) return;
    const { answer, buffers } = await this.stage.ask("race", { setting, bank: true });
    if (this.banked === key) this.runs = unpack(answer, buffers, this.config.steps);
  }

  /** Draw at the next frame, once, however often it is asked for. */
  draw() {
    this.lanes = this.runs.get(this.rate) ?? this.lanes;
    if (this.frame || !this.lanes.length) return;
    this.frame = requestAnimationFrame(() => this.stage.run(() => this.paint()));
  }

  paint() {
    this.frame = 0;
    const { lanes, focus, shown } = this;
    const scene = { lanes, focus, shown, step: this.glance ?? this.step };
    for (const picture of [this.surface, this.losses, this.table]) picture.draw(scene);
    this.stage.drawn();
  }

  /** Let every control show the setting. */
  showSetting() {
    const { setting, place } = this;
    const c = this.controls;
    c.surface.select.value = setting.surface;
    for (const name of KNOBS) c[name].value = setting[name];
    c.condition.element.hidden = place.knob !== "condition";
    c.seed.element.hidden = place.knob !== "seed";
    [c.x.value, c.y.value] = setting.start;
    c.step.value = this.step;
    this.surface.setStart(setting.start);
    this.showPlay();
  }

  showPlay() {
    this.controls.play.textContent = stillness() ? `Next ${JUMP} steps` : this.playing ? "Pause" : "Play";
  }

  /** @param {number} step */
  goTo(step) {
    this.stop();
    this.glance = null;
    this.step = step;
    this.controls.step.value = step;
    this.draw();
  }

  /** Point at a step or a lane for a moment. @param {number | null} step @param {number | null} lane */
  look(step, lane) {
    this.glance = step;
    this.focus = lane;
    this.draw();
  }

  play() {
    const { steps } = this.config;
    if (stillness()) return this.goTo(this.step === steps ? 0 : Math.min(steps, this.step + JUMP));
    if (this.playing) return this.stop();
    this.playing = true;
    const from = this.step === steps ? 0 : this.step;
    const began = performance.now();
    const tick = () => {
      if (!this.playing) return;
      this.step = Math.min(steps, from + Math.floor(((performance.now() - began) / 1000) * STEPS_PER_SECOND));
      this.controls.step.value = this.step;
      this.draw();
      if (this.step === steps) this.stop();
      else requestAnimationFrame(tick);
    };
    this.showPlay();
    tick();
  }

  stop() {
    this.playing = false;
    this.showPlay();
  }

  /** @param {KeyboardEvent} event */
  nudge(event) {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const [left, right] = this.place.window;
    const size = (right - left) / (event.shiftKey ? 400 : 80);
    const [x, y] = this.setting.start;
    return this.moveStart(x + dx * size, y + dy * size);
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const { element, handle } = this.surface;
    // A finger that does not take the handle scrolls the page.
    if (event.button !== 0 || (event.pointerType === "touch" && !handle.contains(/** @type {Node} */ (event.target)))) return;
    event.preventDefault();
    this.look(null, null);
    element.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    return this.pointAt(event);
  }

  /** @param {PointerEvent} event */
  pointAt(event) {
    const { element, handle, scales } = this.surface;
    const [px, py] = pixel(event, element);
    if (element.hasPointerCapture(event.pointerId)) return this.moveStart(...scales.point(px, py));
    // Under the start lie all lanes at once: pointing there points at none.
    const away = !handle.contains(/** @type {Node} */ (event.target));
    const found = away ? nearest(this.lanes, (lane) => this.shown[lane], onSurface(scales), px, py, REACH) : null;
    this.look(found?.step ?? null, found?.lane ?? null);
  }

  /** @param {PointerEvent} event */
  stepUnder(event) {
    return this.losses.scales.step(pixel(event, this.losses.element)[0]);
  }
}

export default view((stage) => {
  new RaceView(stage);
});

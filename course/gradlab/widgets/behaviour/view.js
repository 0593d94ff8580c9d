// @ts-check
/** The behaviour of a network: what is touched, what is asked of the kernel, and when the pictures are drawn. */

import { button, choice, copy, html, latest, slider, stillness, view } from "../kit.js";
import { insideWindow, number, pixel } from "../optimizer_race/geometry.js";
import { losses, plane, unitMaps, weightPanel } from "./draw.js";
import { behaviourKeywords, stroke, unpackMaps } from "./pixels.js";

const GAP = 0.09;
const STEPS_A_FRAME = 2;
const BRUSHES = [
  { value: "1", text: "class 1 (orange squares)" },
  { value: "0", text: "class 0 (blue discs)" },
  { value: "-1", text: "erase what was painted" },
];
/** @type {Record<string, number[]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

class BehaviourView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.config = stage.config;
    this.setting = structuredClone(stage.config.setting);
    /** @type {number[] | null} The unit on the large map. */
    this.enlarged = null;
    /** @type {number[] | null} The unit whose weights are shown. */
    this.chosen = stage.config.editable ? [0, 0] : null;
    this.place = [0, 0];
    /** @type {number[][]} Points of the stroke that is being painted. */
    this.strokes = [];
    this.playing = false;
    /** @type {any} */
    this.scene = null;
    this.plane = plane(this.config);
    this.units = unitMaps(this.config, (layer, unit) => stage.run(() => this.enlarge(layer, unit)));
    this.losses = losses();
    this.weights = weightPanel((source, value) => stage.run(() => this.edit(source, value)));
    this.problem = html("p", { class: "gl-problem", role: "alert", hidden: true });
    this.controls = this.makeControls();
    /** How often it began anew: what was asked before that is no longer wanted. */
    this.begun = 0;
    // Only the newest value of a slider matters; a stroke or a step must not be dropped.
    this.newest = latest(async (/** @type {number} */ begun, /** @type {object} */ question) => {
      if (begun === this.begun) await this.ask("edit", question);
    });
    stage.root.append(...this.layout());
    this.listen();
    this.plane.setBrush(this.place);
    this.showPlay();
    stage.run(() => this.ask("look", {}));
  }

  makeControls() {
    const { config, setting } = this;
    return {
      data: choice({ label: "Points", options: config.data, value: setting.data }),
      seed: slider({ label: "seed", stops: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], value: setting.seed }),
      rate: slider({ label: "learning rate", stops: config.learningRates, value: setting.learning_rate }),
      brush: choice({ label: "Brush", options: BRUSHES, value: "1" }),
      whole: button("Show the decision"),
      play: button(""),
      step: button(`${config.steps} steps`),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
  }

  layout() {
    const c = this.controls;
    const hint = "Everything here is computed by your own function.";
    c.whole.hidden = true;
    return [
      html("div", { class: "gl-header" }, html("p", { class: "gl-title" }, "Behaviour of a network"), html("p", { class: "gl-hint" }, hint)),
      html("div", { class: "gl-choices" }, c.data.element, c.seed.element, c.brush.element, html("span", { class: "gl-pair" }, c.reset, c.copy)),
      this.problem,
      html("div", { class: "gl-panels" }, html("div", {}, this.plane.element, c.whole),
        html("div", {}, this.losses.element, this.weights.element)),
      html("div", { class: "gl-transport" }, c.play, c.step, c.rate.element),
      this.units.element,
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    on(c.data.select, "change", () => this.begin({ data: c.data.select.value, seed: c.seed.value }));
    on(c.seed.input, "change", () => this.begin({ data: c.data.select.value, seed: c.seed.value }));
    on(c.rate.input, "input", () => (this.setting.learning_rate = c.rate.value));
    on(c.reset, "click", () => this.reset());
    on(c.copy, "click", () => copy(behaviourKeywords(this.setting), this.stage.say));
    on(c.play, "click", () => this.play());
    on(c.step, "click", async () => {
      this.stop();
      await this.train();
      this.tell();
    });
    on(c.whole, "click", () => this.enlarge(-1, -1));
    on(this.plane.brush, "keydown", (event) => this.nudge(event));
    on(this.plane.drawing, "pointerdown", (event) => this.press(event));
    on(this.plane.drawing, "pointermove", (event) => this.move(event));
    on(this.plane.drawing, "pointerup", (event) => this.release(event));
    on(this.plane.drawing, "pointercancel", (event) => this.release(event));
    on(matchMedia("(prefers-reduced-motion: reduce)"), "change", () => this.showPlay());
    this.stage.signal.addEventListener("abort", () => this.stop());
  }

  /**
   * Ask the kernel, and draw what it answers.
   * @param {string} name
   * @param {object} question
   */
  async ask(name, question) {
    const { answer, buffers } = await this.stage.ask(name, { ...question, enlarged: this.enlarged });
    this.problem.hidden = !answer.problem;
    this.problem.textContent = answer.problem ?? "";
    this.problem.classList.toggle("gl-waiting", Boolean(answer.waiting));
    if (answer.problem) {
      this.stop();
      this.stage.drawn();
      return;
    }
    this.setting.painted = answer.painted;
    this.scene = { ...answer, maps: unpackMaps(answer, buffers, this.config.small) };
    await new Promise((done) => requestAnimationFrame(done));
    this.draw();
  }

  draw() {
    const scene = { ...this.scene, chosen: this.chosen };
    for (const picture of [this.plane, this.units, this.losses, this.weights]) picture.draw(scene);
    this.controls.whole.hidden = !scene.enlarged;
    this.stage.drawn();
  }

  /** A unit on the large map and its weights beside it; the same once more, or -1, shows the decision again. */
  enlarge(/** @type {number} */ layer, /** @type {number} */ unit) {
    const same = this.enlarged?.[0] === layer && this.enlarged[1] === unit;
    this.enlarged = same || layer < 0 ? null : [layer, unit];
    if (this.enlarged && this.config.editable) this.chosen = this.enlarged;
    return this.ask("look", {});
  }

  edit(/** @type {number} */ source, /** @type {number} */ value) {
    const [layer, index] = this.chosen ?? [0, 0];
    return this.newest(this.begun, { layer, index, source, value });
  }

  /** @param {{data: string, seed: number}} points */
  begin(points) {
    this.stop();
    this.begun++;
    Object.assign(this.setting, points);
    return this.ask("begin", points);
  }

  async reset() {
    this.stop();
    this.begun++;
    this.stage.say("");
    this.setting = structuredClone(this.config.setting);
    this.enlarged = null;
    this.controls.data.select.value = this.setting.data;
    this.controls.seed.value = this.setting.seed;
    this.controls.rate.value = this.setting.learning_rate;
    await this.ask("begin", {});
    this.stage.say("Back at the beginning.");
  }

  train(steps = this.config.steps) {
    return this.ask("train", { steps, learning_rate: this.setting.learning_rate });
  }

  async play() {
    if (stillness()) return this.train();
    if (this.playing) return this.stop();
    this.playing = true;
    this.showPlay();
    while (this.playing) {
      await this.train(STEPS_A_FRAME);
    }
  }

  stop() {
    if (this.playing) this.tell();
    this.playing = false;
    this.showPlay();
  }

  /** Say where training stands, to a screen reader too. */
  tell() {
    if (!this.scene) return;
    const { step, scores } = this.scene;
    this.stage.say(`After ${step} steps: loss ${number(scores.train.loss)} on the training points, ${number(scores.test.loss)} on the test points.`);
  }

  showPlay() {
    this.controls.play.textContent = this.playing ? "Pause" : "Play";
    this.controls.play.hidden = stillness();
  }

  /** @param {number[]} place */
  moveBrush([x, y]) {
    this.place = insideWindow(x, y, this.config.window);
    this.plane.setBrush(this.place);
  }

  /** @param {number[]} point */
  dab([x, y]) {
    const point = [...insideWindow(x, y, this.config.window), Number(this.controls.brush.select.value)];
    this.strokes.push(point);
    if (point[2] >= 0) this.setting.painted.push(point);
    this.plane.dab(point);
  }

  paint() {
    const points = this.strokes;
    this.strokes = [];
    return points.length ? this.ask("paint", { points }) : undefined;
  }

  /** @param {KeyboardEvent} event */
  nudge(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.dab(this.place);
      return this.paint();
    }
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const size = event.shiftKey ? 0.01 : 0.1;
    this.moveBrush([this.place[0] + dx * size, this.place[1] + dy * size]);
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.plane.drawing.setPointerCapture(event.pointerId);
    this.plane.brush.focus({ preventScroll: true });
    this.moveBrush(this.plane.scales.point(...pixel(event, this.plane.drawing)));
    this.dab(this.place);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.plane.drawing.hasPointerCapture(event.pointerId) || !this.strokes.length) return;
    this.moveBrush(this.plane.scales.point(...pixel(event, this.plane.drawing)));
    for (const point of stroke(this.strokes[this.strokes.length - 1], this.place, GAP)) this.dab(point);
  }

  /** @param {PointerEvent} event */
  release(event) {
    if (this.plane.drawing.hasPointerCapture(event.pointerId)) this.plane.drawing.releasePointerCapture(event.pointerId);
    return this.paint();
  }
}

export default view((stage) => {
  new BehaviourView(stage);
});

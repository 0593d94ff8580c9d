// @ts-check
/** The collectives: which step is shown, what is asked of the kernel, and when the pictures are drawn. */

import { button, copy, html, latest, slider, stillness, view } from "../kit.js";
import { firstFault, keywords, known, predict, rounded } from "./values.js";
import { barPlot, byteRow, deviceTable, ringPlot, timeRows } from "./draw.js";

const TRAVEL_MS = 650;
const PAUSE_MS = 350;
const IDLE_MS = 400;
const LATENCIES = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const BANDWIDTHS = [1, 2, 5, 10, 25, 50, 100, 200, 450, 900];
const MEGABYTES = [0.001, 0.01, 0.1, 1, 5, 10, 50, 100, 250, 500, 1000, 5000];
const LINK = /** @type {const} */ (["latency", "bandwidth", "megabytes"]);

/** @param {number[]} stops @param {number} value */
const including = (stops, value) => (stops.includes(value) ? stops : [...stops, value].sort((a, b) => a - b));

class CollectivesView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.setting = structuredClone(stage.config.setting);
    /** @type {Map<string, any>} Answers by number of devices and seed. */
    this.plays = new Map();
    /** @type {any} The answer that is drawn. */
    this.play = null;
    /** @type {string} Which answer the ring was built for. */
    this.built = "";
    this.playing = 0;
    this.frame = 0;
    this.idle = 0;
    /** @type {{began: number} | null} The messages are under way. */
    this.travel = null;
    this.ring = ringPlot(stage.config.letters);
    this.bytes = barPlot("Vectors sent so far");
    this.times = barPlot("Predicted time");
    this.table = deviceTable(stage.config.letters);
    this.controls = this.makeControls();
    this.refresh = latest(() => this.load());
    stage.root.append(...this.layout());
    this.listen();
    stage.run(() => this.refresh());
  }

  get key() {
    return `${this.setting.devices} ${this.setting.seed}`;
  }

  get last() {
    return (this.play?.frames.length ?? 1) - 1;
  }

  makeControls() {
    const { setting, config } = { setting: this.setting, config: this.stage.config };
    const number = (/** @type {number} */ value) => rounded(value);
    return {
      devices: slider({ label: "devices", stops: config.devices, value: setting.devices }),
      seed: slider({ label: "seed of the numbers", stops: including([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], setting.seed), value: setting.seed }),
      latency: slider({ label: "latency α, µs", stops: including(LATENCIES, setting.latency), value: setting.latency, text: number }),
      bandwidth: slider({ label: "bandwidth β, GB/s", stops: including(BANDWIDTHS, setting.bandwidth), value: setting.bandwidth, text: number }),
      megabytes: slider({ label: "vector, MB", stops: including(MEGABYTES, setting.megabytes), value: setting.megabytes, text: number }),
      step: slider({ label: "step", stops: [0], value: 0 }),
      first: button("To the start"),
      back: button("Step back"),
      forward: button("Step"),
      play: button("Play"),
      reset: button("Reset"),
      copy: button("Copy state"),
    };
  }

  layout() {
    const c = this.controls;
    const hint = "Every arrow is a message of your function. A cell fills as the shares of more devices are in its sum.";
    this.problem = html("p", { class: "gl-failure", hidden: true });
    this.words = html("p", { class: "gl-step-text", "aria-live": "polite" });
    this.verdicts = html("ul", { class: "gl-verdicts" });
    this.story = html("div", {},
      html("div", { class: "gl-drawing" }, this.ring.element),
      this.words,
      html("div", { class: "gl-transport" }, c.first, c.back, c.forward, c.play, c.step.element),
      html("div", { class: "gl-panels" },
        html("div", {}, html("p", { class: "gl-name" }, "Sent so far, in vectors"), this.bytes.element, this.verdicts),
        html("div", {}, html("p", { class: "gl-name" }, "Predicted time: α a message, and its bytes over β"), this.times.element,
          html("div", { class: "gl-knobs" }, c.latency.element, c.bandwidth.element, c.megabytes.element))),
      this.table.element);
    return [
      html("p", { class: "gl-title" }, "Your all-reduce, message by message"),
      html("p", { class: "gl-hint" }, hint),
      html("div", { class: "gl-choices" }, c.devices.element, c.seed.element, c.reset, c.copy),
      this.problem,
      this.story,
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    for (const name of /** @type {const} */ (["devices", "seed"])) {
      on(c[name].input, "input", () => {
        this.stop();
        this.setting[name] = c[name].value;
        return this.refresh();
      });
    }
    for (const name of LINK) {
      on(c[name].input, "input", () => {
        this.setting[name] = c[name].value;
        this.draw();
      });
    }
    on(c.step.input, "input", () => this.goTo(c.step.input.valueAsNumber));
    on(c.first, "click", () => this.goTo(0));
    on(c.back, "click", () => this.goTo(this.setting.step - 1));
    on(c.forward, "click", () => this.goTo(this.setting.step + 1, { travel: true }));
    on(c.play, "click", () => (this.playing ? this.stop() : this.start()));
    on(c.reset, "click", () => this.reset());
    on(c.copy, "click", () => copy(keywords(this.setting), this.stage.say));
    on(this.ring.element, "keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[/** @type {string} */ (event.key)];
      if (!by) return;
      event.preventDefault();
      this.goTo(this.setting.step + by, { travel: by > 0 });
    });
    this.stage.signal.addEventListener("abort", () => {
      this.stop();
      clearTimeout(this.idle);
    });
  }

  /** The story for the setting, from the kernel if it was not told yet. */
  async load() {
    const { key } = this;
    const found = this.plays.get(key) ?? (await this.fetch(this.setting.devices, this.setting.seed));
    this.play = found;
    this.setting.step = Math.min(this.setting.step, this.last);
    this.draw();
    clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.stage.run(() => this.prepare()), IDLE_MS);
  }

  /** @param {number} devices @param {number} seed */
  async fetch(devices, seed) {
    const { answer } = await this.stage.ask("play", { devices, seed });
    this.plays.set(`${devices} ${seed}`, answer);
    return answer;
  }

  /** Nothing moves any more: fetch the other numbers of devices, nearest first, so that their slider needs no kernel. */
  async prepare() {
    const { devices, seed } = this.setting;
    const others = this.stage.config.devices.toSorted(
      (/** @type {number} */ a, /** @type {number} */ b) => Math.abs(a - devices) - Math.abs(b - devices));
    for (const other of others) {
      if (this.stage.signal.aborted || this.setting.seed !== seed) return;
      if (!this.plays.has(`${other} ${seed}`)) await this.fetch(other, seed);
    }
    this.stage.root.dataset.ready = String(seed);
  }

  reset() {
    this.stop();
    this.setting = structuredClone(this.stage.config.setting);
    this.stage.say("Back at the beginning.");
    return this.refresh();
  }

  /** @param {number} step @param {{travel?: boolean, keepPlaying?: boolean}} [how] */
  goTo(step, { travel = false, keepPlaying = false } = {}) {
    if (!keepPlaying) this.stop();
    const to = Math.max(0, Math.min(step, this.last));
    this.travel = travel && !stillness() && to > this.setting.step ? { began: performance.now() } : null;
    this.setting.step = to;
    this.draw();
  }

  start() {
    if (this.setting.step >= this.last) this.goTo(0);
    this.controls.play.textContent = "Pause";
    const fault = firstFault(this.play.frames);
    const next = () => {
      this.goTo(this.setting.step + 1, { travel: true, keepPlaying: true });
      // Where it goes wrong is the place to look at.
      if (this.setting.step >= this.last || this.setting.step === fault) this.stop();
    };
    this.playing = window.setInterval(next, TRAVEL_MS + PAUSE_MS);
    next();
  }

  stop() {
    clearInterval(this.playing);
    this.playing = 0;
    this.controls.play.textContent = "Play";
  }

  /** Draw at the next frame, once, however often it is asked for. */
  draw() {
    this.frame ||= requestAnimationFrame(() => this.stage.run(() => this.paint()));
  }

  paint() {
    this.frame = 0;
    const { play, setting, story, problem } = this;
    if (!play || !story || !problem) return;
    problem.hidden = !play.problem;
    problem.textContent = play.problem;
    story.hidden = Boolean(play.problem);
    this.showControls();
    if (!play.problem) {
      const t = this.travel ? Math.min((performance.now() - this.travel.began) / TRAVEL_MS, 1) : 1;
      this.build();
      this.ring.draw(setting.step, t < 1 ? setting.step - 1 : setting.step, t);
      if (t < 1) this.draw();
      else this.travel = null;
      this.paintStep();
    }
    this.stage.drawn();
  }

  /** What belongs to the whole story, once for each. */
  build() {
    const key = `${this.play.layout.devices.length} ${this.play.frames[0].words} ${this.key}`;
    if (key === this.built) return;
    this.built = key;
    this.painted = -1;
    this.ring.build(this.play);
    /** @type {any} */ (this.verdicts).replaceChildren(...this.play.verdicts.map((/** @type {any} */ { text, good }) =>
      html("li", { class: good ? "" : "gl-bad" }, text)));
  }

  /** Words, bars and table of the step. */
  paintStep() {
    const { play, setting } = this;
    const frame = play.frames[setting.step];
    const loads = play.frames.slice(1).map((/** @type {any} */ f) => f.load);
    this.times.draw(timeRows(play.own ? predict(loads, setting) : null, known(frame.cells.length, setting)), null);
    if (this.painted === setting.step) return;
    this.painted = setting.step;
    /** @type {any} */ (this.words).textContent = frame.words;
    this.bytes.draw(byteRow(play.own ? frame.sent : null), { value: play.bound, text: `bound ${rounded(play.bound)}` });
    this.table.draw(frame);
  }

  /** Let every control show the setting. */
  showControls() {
    const { setting } = this;
    const c = this.controls;
    for (const name of /** @type {const} */ (["devices", "seed", ...LINK])) c[name].value = setting[name];
    c.step.input.max = String(this.last);
    c.step.input.value = String(setting.step);
    const value = /** @type {HTMLElement} */ (c.step.element.querySelector(".gl-value"));
    value.textContent = String(setting.step);
    c.step.input.setAttribute("aria-valuetext", `${setting.step} of ${this.last}`);
  }
}

export default view((stage) => {
  new CollectivesView(stage);
});

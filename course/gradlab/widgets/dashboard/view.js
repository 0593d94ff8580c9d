// @ts-check
/** The training dashboard: asks the kernel for news ten times a second while the loop runs, and draws them. */

import { button, html, slider, svg, view } from "../kit.js";
import { brief, hill, left, rates, thinned, trail } from "./curves.js";

const NEWS_MS = 100;
const ROOM = 300;
const SIZE = { width: 300, height: 150 };
const BOX = { left: 44, right: 292, top: 10, bottom: 126 };
const HILL = { width: 170, height: 26 };
const PANELS = [
  { name: "loss", column: 1, series: 0 },
  { name: "accuracy", column: 2, series: 2 },
  { name: "learning rate", column: 3, series: 3 },
];
/** @type {Record<string, string>} */
const WORDS = {
  ready: "Ready. Start runs your loop from its newest checkpoint.",
  paused: "Held between two steps.",
  finished: "Finished.",
  stopped: "Stopped. Start goes on from the newest checkpoint.",
  failed: "Your loop raised an error.",
};

/** @param {{name: string, series: number}} panel @param {number} steps */
function plot(panel, steps) {
  const path = svg("path", { class: "gl-curve" });
  const top = svg("text", { x: BOX.left - 5, y: BOX.top + 9, "text-anchor": "end" });
  const bottom = svg("text", { x: BOX.left - 5, y: BOX.bottom, "text-anchor": "end" });
  const now = html("span", { class: "gl-value" }, "");
  const drawing = svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": `${panel.name} over steps` },
    svg("rect", { class: "gl-frame", x: BOX.left, y: BOX.top, width: BOX.right - BOX.left, height: BOX.bottom - BOX.top }),
    path, top, bottom,
    svg("text", { x: BOX.left, y: SIZE.height - 8 }, "step 0"),
    svg("text", { x: BOX.right, y: SIZE.height - 8, "text-anchor": "end" }, String(steps)));
  const element = html("figure", { class: `gl-plot gl-series-${panel.series}` }, html("figcaption", {}, panel.name, " ", now), drawing);
  return { element, path, top, bottom, now };
}

/** @param {string} name */
function layerRow(name) {
  const cells = ["gradient", "update"].map((what) => {
    const path = svg("path", { class: "gl-hill" });
    const label = svg("title", {}, `sizes of the ${what}s of ${name}`);
    const drawing = svg("svg", { class: "gl-sizes", viewBox: `0 0 ${HILL.width} ${HILL.height + 1}`, role: "img", "aria-label": `sizes of the ${what}s of ${name}` },
      label, svg("path", { class: "gl-rule", d: `M0 ${HILL.height}.5H${HILL.width}` }), path);
    return { path, drawing };
  });
  const size = html("td", { class: "gl-number" }, "–");
  const ratio = html("td", { class: "gl-number" }, "–");
  const element = html("tr", {}, html("th", { scope: "row" }, name),
    html("td", { class: "gl-series-0" }, cells[0].drawing), size, html("td", { class: "gl-series-4" }, cells[1].drawing), ratio);
  return { element, gradient: cells[0].path, update: cells[1].path, size, ratio };
}

class DashboardView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.config = stage.config;
    /** @type {import("./curves.js").Point[]} */
    this.points = [];
    this.state = "ready";
    this.clock = { at: 0, step: 0 };
    this.timer = 0;
    this.plots = PANELS.map((panel) => plot(panel, this.config.steps));
    /** @type {Map<string, ReturnType<typeof layerRow>>} */
    this.rows = new Map(this.config.layers.map((/** @type {string} */ name) => [name, layerRow(name)]));
    this.play = button("Start");
    this.step = button("Step");
    this.end = button("Stop");
    this.bar = html("progress", { max: this.config.steps, value: 0, "aria-label": "steps done" });
    this.where = html("span", { class: "gl-where" }, "");
    this.rate = slider({ label: "learning rate", stops: rates(-5, 0), value: this.config.rate ?? 1e-3, text: brief });
    this.error = html("pre", { class: "gl-student-error", role: "alert", hidden: true });
    stage.root.append(...this.layout());
    const { on } = stage;
    on(this.play, "click", () => (this.state === "running" ? this.tell("pause") : this.go(0)));
    on(this.step, "click", () => this.go(1));
    on(this.end, "click", () => this.tell("stop"));
    on(this.rate.input, "input", () => stage.ask("rate", { rate: this.rate.value }));
    stage.signal.addEventListener("abort", () => clearTimeout(this.timer));
    stage.run(() => this.tell("news"));
  }

  layout() {
    const head = ["layer", "gradients, by size", "root mean square", "updates, by size", "update / weight"];
    const { lowest, highest } = this.config.scale;
    return [
      html("p", { class: "gl-title" }, "Training dashboard"),
      html("div", { class: "gl-transport" }, this.play, this.step, this.end, this.bar, this.where),
      this.config.rate === null
        ? html("p", { class: "gl-hint" }, "The learning rate is fixed inside the optimizer; optax.inject_hyperparams would let you change it here.")
        : html("div", { class: "gl-rate" }, this.rate.element),
      this.error,
      html("div", { class: "gl-plots" }, ...this.plots.map((p) => p.element)),
      html("table", { class: "gl-table" },
        html("caption", {}, `Sizes are powers of ten, from 1e${lowest} at the left to 1e${highest} at the right.`),
        html("thead", {}, html("tr", {}, ...head.map((text) => html("th", { scope: "col" }, text)))),
        html("tbody", {}, ...[...this.rows.values()].map((row) => row.element))),
    ];
  }

  /** @param {number} steps how many, or 0 for as many as there are */
  async go(steps) {
    const fresh = ["finished", "stopped", "failed"].includes(this.state);
    if (fresh) this.points = [];
    this.clock = { at: performance.now(), step: this.last };
    // The answer begins at the first point, so that nothing is missed between two views of one loop.
    const { answer } = await this.stage.ask("go", { steps });
    this.points = [];
    this.take(answer);
  }

  /** @param {"pause" | "stop" | "news"} name */
  async tell(name) {
    const { answer } = await this.stage.ask(name, { since: this.points.length });
    this.take(answer);
  }

  get last() {
    return this.points.length ? this.points[this.points.length - 1][0] : 0;
  }

  /** @param {any} news */
  take(news) {
    // Two questions may have been under way at once: only rows that follow are new.
    const known = news.count - news.points.length;
    if (known <= this.points.length) this.points.push(...news.points.slice(this.points.length - known));
    const before = this.state;
    this.state = news.state;
    this.draw(news);
    if (this.state !== before && WORDS[this.state]) this.stage.say(`${WORDS[this.state]}${this.summary()}`);
    if (this.state === "running" && before !== "running") this.stage.say("");
    clearTimeout(this.timer);
    if (this.state === "running" && !this.stage.signal.aborted) {
      this.timer = setTimeout(() => this.stage.run(() => this.tell("news")), NEWS_MS);
    }
  }

  summary() {
    const point = this.points[this.points.length - 1];
    return point ? ` Step ${point[0]}: loss ${brief(point[1])}, accuracy ${brief(point[2])}.` : "";
  }

  /** @param {any} news */
  draw(news) {
    const { steps } = this.config;
    const running = this.state === "running";
    this.play.textContent = running ? "Pause" : this.state === "paused" ? "Continue" : "Start";
    this.step.disabled = running;
    this.end.disabled = !running && this.state !== "paused";
    this.bar.value = this.last;
    const seconds = (performance.now() - this.clock.at) / 1000;
    const rest = running ? left(this.last - this.clock.step, seconds, steps - this.last) : "";
    this.where.textContent = `step ${this.last} of ${steps}${rest && `, ${rest}`}`;
    this.error.hidden = !news.error;
    this.error.textContent = news.error;
    PANELS.forEach((panel, i) => this.drawCurve(this.plots[i], panel.column));
    for (const layer of news.layers) this.drawLayer(layer);
    this.stage.drawn();
  }

  /** @param {ReturnType<typeof plot>} parts @param {number} column */
  drawCurve(parts, column) {
    const series = thinned(this.points, column, ROOM);
    if (!series.length) return;
    // The first loss is what falls; a later one that jumps above it must be seen too.
    const high = column === 2 ? 1 : Math.max(...series.map(([, value]) => value));
    parts.path.setAttribute("d", trail(series, BOX, this.config.steps, [0, high]));
    parts.top.textContent = brief(high);
    parts.bottom.textContent = "0";
    parts.now.textContent = brief(this.points[this.points.length - 1][column]);
  }

  /** @param {any} layer */
  drawLayer(layer) {
    const row = this.rows.get(layer.name);
    if (!row) return;
    row.gradient.setAttribute("d", hill(layer.gradient, HILL.width, HILL.height));
    row.update.setAttribute("d", hill(layer.update, HILL.width, HILL.height));
    row.size.textContent = brief(layer.gradient_rms);
    row.ratio.textContent = brief(layer.update_to_weight);
  }
}

export default view((stage) => {
  new DashboardView(stage);
});

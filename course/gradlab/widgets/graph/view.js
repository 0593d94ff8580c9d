// @ts-check
/** The graph: which step is shown, what is guessed, and the drawing. The walk itself comes from the kernel. */

import { button, copy, html, latest, slider, stillness, svg, view } from "../kit.js";

const STEP_MS = 900;
const REACH = 3;
const STOPS = Array.from({ length: 121 }, (_, i) => Math.round(i * 5 - 300) / 100);
/** How near a typed gradient must be: three digits, as the nodes show them. */
const NEAR = 0.006;

/** @param {number} value */
const number = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : String(value));

/**
 * What each node's gradient is after some steps.
 * @param {any[]} writes @param {number} count @param {number} nodes
 */
function gradientsAfter(writes, count, nodes) {
  const found = Array(nodes).fill(0);
  for (const { node, after } of writes.slice(0, count)) found[node] = after;
  return found;
}

/**
 * What has come along each edge, and whether a later write threw it away.
 * @param {any[]} writes @param {(write: any) => number} edgeOf @param {any[]} edges
 * @returns {Map<number, {share: number, lost: boolean}>}
 */
function sharesAfter(writes, edgeOf, edges) {
  const found = new Map();
  for (const write of writes) {
    const edge = edgeOf(write);
    if (write.lost) for (const [other, brought] of found) if (edges[other].parent === write.node) brought.lost = true;
    if (edge >= 0) found.set(edge, { share: write.share, lost: false });
  }
  return found;
}

/** A step in words. @param {any} write @param {string[]} titles */
function sentence(write, titles) {
  const name = titles[write.node];
  if (write.source === null) return `The gradient of ${name} is set to ${number(write.after)}.`;
  const local = write.upstream === 0 ? "" : `, upstream ${number(write.upstream)} times local derivative ${number(write.share / write.upstream)}`;
  if (write.lost) {
    return `Overwritten: ${titles[write.source]} assigns ${number(write.after)} to the gradient of ${name}, and the share of ${number(write.before)} that was there is lost. Add with += instead.`;
  }
  const sum = write.before === 0 ? "" : ` It was ${number(write.before)}, and is now ${number(write.after)}.`;
  return `${titles[write.source]} gives ${number(write.share)} to ${name}${local}.${sum}`;
}

class GraphView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.leaves = { ...stage.config.leaves };
    this.step = stage.config.step;
    this.asking = false;
    this.timer = 0;
    /** @type {any} */
    this.walk = null;
    this.refresh = latest(() => this.load());
    this.controls = this.makeControls();
    this.drawing = html("div", { class: "gl-drawing" });
    this.words = html("p", { class: "gl-step-text", "aria-live": "polite" });
    this.table = html("tbody");
    stage.root.append(...this.layout());
    this.listen();
    stage.run(() => this.refresh());
  }

  makeControls() {
    const stops = (/** @type {number} */ at) => (STOPS.includes(at) ? STOPS : [...STOPS, at].sort((a, b) => a - b));
    const leaf = (/** @type {[string, any]} */ [name, value]) => [name, slider({ label: name, stops: stops(value), value, text: number })];
    return {
      leaves: /** @type {Record<string, any>} */ (Object.fromEntries(Object.entries(this.leaves).map(leaf))),
      first: button("To the start"),
      back: button("Step back"),
      forward: button("Step"),
      play: button("Play"),
      reset: button("Reset"),
      copy: button("Copy state"),
      guess: html("input", { type: "checkbox" }),
      answer: html("input", { type: "number", step: "any", "aria-label": "your guess of the gradient after this step" }),
      check: html("button", { type: "submit", class: "gl-button" }, "Check"),
    };
  }

  layout() {
    const c = this.controls;
    this.form = html("form", { hidden: true }, html("span", {}, ""), c.answer, c.check);
    const head = ["node", "value", "gradient", "gradient at the end"].map((text) => html("th", { scope: "col" }, text));
    return [
      html("p", { class: "gl-title" }, "Your graph"),
      html("p", { class: "gl-hint" }, "In each node: value | gradient. Arrow keys on the drawing step through your backward."),
      this.drawing,
      this.words,
      html("div", { class: "gl-bar" }, c.first, c.back, c.forward, c.play, html("label", {}, c.guess, " guess first"), this.form),
      html("div", { class: "gl-bar" }, ...Object.values(c.leaves).map((s) => s.element), c.reset, c.copy),
      html("table", { class: "gl-table", hidden: true }, html("caption", { class: "gl-hint" }, "The same as a table"), html("thead", {}, html("tr", {}, ...head)), this.table),
    ];
  }

  listen() {
    const { on } = this.stage;
    const c = this.controls;
    for (const [name, control] of Object.entries(c.leaves)) {
      on(control.input, "input", () => {
        this.leaves[name] = control.value;
        return this.refresh();
      });
    }
    on(c.first, "click", () => this.goTo(0));
    on(c.back, "click", () => this.goTo(this.step - 1));
    on(c.forward, "click", () => this.next());
    on(c.play, "click", () => (this.timer ? this.stop() : this.play()));
    on(c.reset, "click", () => this.reset());
    on(c.copy, "click", () => copy(`{${Object.entries(this.leaves).map(([n, v]) => `"${n}": ${v}`).join(", ")}}, step=${this.step}`, this.stage.say));
    on(c.guess, "change", () => this.goTo(this.step));
    on(/** @type {any} */ (this.form), "submit", (event) => {
      event.preventDefault();
      this.reveal();
    });
    on(this.drawing, "keydown", (event) => {
      const move = { ArrowRight: () => this.next(), ArrowLeft: () => this.goTo(this.step - 1) }[/** @type {string} */ (event.key)];
      if (!move) return;
      event.preventDefault();
      move();
    });
    this.stage.signal.addEventListener("abort", () => this.stop());
  }

  async load() {
    const { answer } = await this.stage.ask("walk", { leaves: this.leaves });
    this.walk = answer;
    this.build();
    this.goTo(Math.min(this.step, answer.writes.length), { keepPlaying: true });
  }

  reset() {
    this.leaves = { ...this.stage.config.leaves };
    for (const [name, control] of Object.entries(this.controls.leaves)) control.value = this.leaves[name];
    this.goTo(0);
    this.stage.say("Back at the beginning.");
    return this.refresh();
  }

  play() {
    if (this.step >= this.walk.writes.length) this.goTo(0);
    this.controls.play.textContent = "Stop";
    this.timer = window.setInterval(() => {
      this.goTo(this.step + 1, { keepPlaying: true });
      const write = this.walk.writes[this.step - 1];
      if (write?.lost || this.step >= this.walk.writes.length) this.stop();
    }, stillness() ? 2 * STEP_MS : STEP_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.controls.play.textContent = "Play";
  }

  /** One step on, or the question what it will bring. */
  next() {
    const write = this.walk?.writes[this.step];
    if (!write) return;
    if (!this.controls.guess.checked) return this.goTo(this.step + 1);
    this.stop();
    this.asking = true;
    const form = /** @type {any} */ (this.form);
    form.hidden = false;
    form.firstElementChild.textContent = `What is the gradient of ${this.walk.titles[write.node]} after the next step?`;
    this.controls.answer.value = "";
    this.controls.answer.focus();
    this.draw();
  }

  reveal() {
    const write = this.walk.writes[this.step];
    const guess = this.controls.answer.valueAsNumber;
    if (!write || !Number.isFinite(guess)) return this.stage.say("Type a number first.");
    const right = Math.abs(guess - write.after) <= NEAR * (1 + Math.abs(write.after));
    this.goTo(this.step + 1);
    this.stage.say(`You said ${number(guess)}, and it is ${number(write.after)}: ${right ? "right" : "not yet"}.`);
    this.controls.forward.focus();
  }

  /** @param {number} step @param {{keepPlaying?: boolean}} [how] */
  goTo(step, { keepPlaying = false } = {}) {
    if (!this.walk) return;
    if (!keepPlaying) this.stop();
    this.step = Math.max(0, Math.min(step, this.walk.writes.length));
    this.asking = false;
    /** @type {any} */ (this.form).hidden = true;
    this.draw();
  }

  /** The elements of a new graph. */
  build() {
    const { layout, titles, problem, data } = this.walk;
    const { width, height } = this.stage.config.node;
    this.edges = layout.edges.map((/** @type {any} */ edge) => svg("path", { class: "gl-edge", d: edge.d }));
    this.nodes = layout.nodes.map((/** @type {[number, number]} */ [x, y], /** @type {number} */ i) => {
      const numbers = svg("text", { class: "gl-numbers", y: 15 });
      const box = svg("rect", { class: "gl-node", x: -width / 2, y: -height / 2, width, height, rx: 6 });
      const group = svg("g", { transform: `translate(${x} ${y})` }, box, svg("text", { y: -5 }, titles[i]), numbers);
      return { group, numbers };
    });
    this.shares = layout.edges.map((/** @type {any} */ edge) => svg("text", { class: "gl-share", x: edge.x, y: edge.y - 6 }));
    this.flow = svg("text", { class: "gl-flow" });
    const picture = svg("svg", { viewBox: `0 0 ${layout.width} ${Math.max(layout.height, REACH)}`, role: "img", tabindex: 0,
      "aria-label": "The graph; right and left arrow keys step through the backward pass. The table below says the same." },
      ...this.edges, ...this.nodes.map((/** @type {any} */ n) => n.group), ...this.shares, this.flow);
    const hadFocus = this.drawing.contains(document.activeElement);
    if (titles.length) this.drawing.replaceChildren(picture);
    else this.drawing.replaceChildren(html("p", { class: "gl-failure" }, `Your code: ${problem}`));
    if (hadFocus) picture.focus();
    this.cells = titles.map(() => html("td"));
    this.ends = titles.map(() => html("td"));
    // Without a row its headings would describe nothing.
    /** @type {HTMLElement} */ (this.table.parentElement).hidden = titles.length === 0;
    this.table.replaceChildren(...titles.map((/** @type {string} */ title, /** @type {number} */ i) =>
      html("tr", {}, html("th", { scope: "row" }, title), html("td", {}, number(data[i])), this.cells[i], this.ends[i])));
  }

  draw() {
    const { writes, titles, layout, problem } = this.walk;
    const write = this.asking ? writes[this.step] : writes[this.step - 1];
    const gradients = gradientsAfter(writes, this.step, titles.length);
    const lost = !this.asking && Boolean(write?.lost);
    this.nodes?.forEach((/** @type {any} */ { group, numbers }, /** @type {number} */ i) => {
      const hidden = this.asking && write.node === i;
      numbers.textContent = `${number(this.walk.data[i])} | ${hidden ? "?" : number(gradients[i])}`;
      group.classList.toggle("gl-written", write?.node === i);
      group.classList.toggle("gl-lost", lost && write.node === i);
      group.classList.toggle("gl-pushing", write?.source === i);
      this.cells[i].textContent = hidden ? "?" : number(gradients[i]);
      // Who guesses must not read the answer beside it.
      this.ends[i].textContent = this.controls.guess.checked ? "" : (this.walk.verdicts[titles[i]] ?? "");
    });
    const used = this.edgeOf(write);
    this.edges?.forEach((/** @type {any} */ path, /** @type {number} */ e) => {
      path.classList.toggle("gl-active", e === used);
      path.classList.toggle("gl-lost", e === used && lost);
    });
    if (this.flow) {
      this.drawFlow(layout.edges[used], write, lost);
      this.drawShares(used);
    }
    this.words.classList.toggle("gl-lost", lost);
    const end = this.step === writes.length && !this.asking ? ` ${problem ? `Then your backward raised ${problem}.` : "That was the last step."}` : "";
    this.words.textContent = this.asking ? "Guess before it is revealed." : write ? `Step ${this.step} of ${writes.length}. ${sentence(write, titles)}${end}`
      : `${writes.length ? `Forward pass done. ${writes.length} steps of your backward follow.` : "Your backward has written nothing."}${end}`;
    this.stage.drawn();
  }

  /** @param {any} edge @param {any} write @param {boolean} lost */
  drawFlow(edge, write, lost) {
    const shown = edge && !this.asking && write.upstream !== 0;
    this.flow.textContent = shown ? `${number(write.upstream)} × ${number(write.share / write.upstream)}` : "";
    this.flow.classList.toggle("gl-lost", lost);
    if (!shown) return;
    this.flow.setAttribute("x", edge.x);
    this.flow.setAttribute("y", edge.y - 6);
  }

  /** On every edge what it has brought so far: the sum of them is the gradient, unless one is lost. @param {number} active */
  drawShares(active) {
    const { writes } = this.walk;
    const brought = sharesAfter(writes.slice(0, this.step), (/** @type {any} */ w) => this.edgeOf(w), this.walk.layout.edges);
    this.shares.forEach((/** @type {any} */ text, /** @type {number} */ e) => {
      const here = brought.get(e);
      text.textContent = here && (e !== active || this.asking) ? number(here.share) : "";
      text.classList.toggle("gl-gone", Boolean(here?.lost));
    });
  }

  /** The edge that a write goes along: of two from one node to another, the second at the second write. @param {any} write */
  edgeOf(write) {
    if (!write || write.source === null) return -1;
    const { edges } = this.walk.layout;
    const twins = edges.flatMap((/** @type {any} */ e, /** @type {number} */ i) => (e.parent === write.node && e.child === write.source ? [i] : []));
    const place = this.walk.writes.indexOf(write);
    const earlier = this.walk.writes.slice(0, place).filter((/** @type {any} */ w) => w.node === write.node && w.source === write.source).length;
    return twins[earlier % Math.max(twins.length, 1)] ?? -1;
  }
}

export default view((stage) => {
  new GraphView(stage);
});

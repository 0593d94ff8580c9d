// @ts-check
/**
 * What the views of all widgets share: elements and named controls, questions to the kernel, and errors that are seen.
 * A view is `export default view(build)`; `build` gets a stage and puts its elements into `stage.root`.
 */

/**
 * @typedef {object} Model What anywidget hands to a view.
 * @property {(name: string) => any} get
 * @property {(content: object) => void} send
 * @property {(event: string, handler: (...args: any[]) => void) => void} on
 * @property {(event: string, handler: (...args: any[]) => void) => void} off
 */
/** @typedef {{answer: any, buffers: DataView[]}} Reply */
/**
 * @typedef {object} Stage
 * @property {HTMLElement} root the view's own element
 * @property {any} config what the model's `config` holds
 * @property {(name: string, question: object) => Promise<Reply>} ask the model's `answer_<name>(question)`
 * @property {(target: EventTarget, type: string, handler: (event: any) => any) => void} on
 *   `addEventListener` until the view is removed; what the handler throws is shown
 * @property {(task: () => any) => Promise<void>} run run a task that no event starts; what it throws is shown
 * @property {(text: string) => void} say tell it, on screen and to a screen reader
 * @property {() => void} drawn to be called when the picture answers the last input; benchmarks and tests wait for it
 * @property {AbortSignal} signal aborted when the view is removed
 */

const SLOW_MS = 400;
const SILENT_MS = 20000;

/**
 * An element of the page. Attributes that are null or false are left out; true is an empty one, or "true" for ARIA's.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * An element of a drawing.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * A slider over given stops, with its name and value beside it.
 * @template T
 * @param {{label: string, stops: readonly T[], value: T, text?: (value: T) => string}} options
 */
export function slider({ label, stops, value, text = String }) {
  // Not an <output>: that is a live region, and would read every value a second time.
  const shown = html("span", { class: "gl-value", "aria-hidden": true });
  /** @type {HTMLInputElement} */
  const input = html("input", { type: "range", min: 0, max: stops.length - 1, step: 1, "aria-label": label });
  const show = () => {
    shown.textContent = text(stops[input.valueAsNumber]);
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  const control = {
    element: html("label", { class: "gl-slider" }, html("span", {}, label), shown, input),
    input,
    get value() {
      return stops[input.valueAsNumber];
    },
    /** The stop nearest to the value, where stops are numbers. */
    set value(wanted) {
      const distance = stops.map((stop) => (stop === wanted ? -1 : Math.abs(Number(stop) - Number(wanted))));
      input.value = String(distance.indexOf(Math.min(...distance)));
      show();
    },
  };
  input.addEventListener("input", show);
  control.value = value;
  return control;
}

/**
 * A list to choose one of.
 * @param {{label: string, options: {value: string, text: string}[], value: string}} options
 */
export function choice({ label, options, value }) {
  const select = html("select", {}, ...options.map((o) => html("option", { value: o.value }, o.text)));
  select.value = value;
  return { element: html("label", { class: "gl-choice" }, html("span", {}, label), select), select };
}

/**
 * @param {string} label
 * @returns {HTMLButtonElement}
 */
export function button(label) {
  return html("button", { type: "button", class: "gl-button" }, label);
}

/** Whether the reader's system asks for less motion. */
export function stillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * `task`, run for the newest arguments only: while one run is under way, all that come meanwhile but the last are
 * dropped. This keeps a drag at the pace of the kernel.
 * @template {any[]} A
 * @param {(...args: A) => Promise<void>} task
 * @returns {(...args: A) => Promise<void>}
 */
export function latest(task) {
  let running = false;
  /** @type {A | null} */
  let next = null;
  return async (...args) => {
    next = args;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await task(...now);
      }
    } finally {
      running = false;
    }
  };
}

/**
 * Put text on the clipboard. Without the permission, which plain http does not give, the text is shown instead.
 * @param {string} text
 * @param {(text: string) => void} say
 */
export async function copy(text, say) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text}`);
  } catch {
    say(`Copy this: ${text}`);
  }
}

/**
 * A view for anywidget.
 * @param {(stage: Stage) => void} build
 */
export function view(build) {
  return {
    /** @param {{model: Model, el: HTMLElement, signal: AbortSignal}} context */
    render({ model, el, signal }) {
      const failure = html("pre", { class: "gl-failure", role: "alert", hidden: true });
      const status = html("p", { class: "gl-status", role: "status" });
      const root = html("div", { class: "gl-stage" });
      // A group and not a landmark: a lab may show two of a kind.
      const frame = html("div", { class: "gl gl-view", role: "group", "aria-label": model.get("label") }, root, status, failure);
      /** @param {unknown} error */
      const fail = (error) => {
        if (signal.aborted) return;
        failure.textContent = `This is a fault of the widget, not of your code.\n${error instanceof Error ? error.message : error}`;
        failure.hidden = false;
        console.error("[gradlab]", error);
      };
      /** @type {Stage["run"]} */
      const run = async (task) => {
        try {
          await task();
        } catch (error) {
          fail(error);
        }
      };
      /** @type {Stage["on"]} */
      const on = (target, type, handler) => target.addEventListener(type, (event) => run(() => handler(event)), { signal });
      /** @type {Stage["say"]} */
      const say = (text) => {
        status.textContent = text;
      };
      // JupyterLab's command mode would take plain keys: arrows leave the cell, D D deletes it.
      frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
      });
      const drawn = () => frame.dispatchEvent(new CustomEvent("gl:drawn", { bubbles: true }));
      el.append(frame);
      const ask = asker(model, frame, say, signal);
      run(() => build({ root, config: model.get("config"), ask, on, run, say, drawn, signal }));
    },
  };
}

/**
 * @param {Model} model
 * @param {HTMLElement} frame
 * @param {(text: string) => void} say
 * @param {AbortSignal} signal
 * @returns {Stage["ask"]}
 */
function asker(model, frame, say, signal) {
  // Two views of one model hear each other's answers: the prefix tells them apart.
  const prefix = Math.random().toString(36).slice(2);
  /** @type {Map<string, {resolve: (reply: Reply) => void, reject: (error: Error) => void}>} */
  const open = new Map();
  let serial = 0;
  /** @param {any} message @param {DataView[]} buffers */
  const receive = (message, buffers) => {
    const asked = open.get(message.id);
    open.delete(message.id);
    if (message.failure) asked?.reject(new Error(message.failure));
    else asked?.resolve({ answer: message.answer, buffers });
  };
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => model.off("msg:custom", receive));
  return async (name, question) => {
    const id = `${prefix}-${serial++}`;
    const slow = setTimeout(() => frame.setAttribute("aria-busy", "true"), SLOW_MS);
    const silent = setTimeout(() => say("The kernel does not answer. If it is not busy, run this cell again."), SILENT_MS);
    try {
      return await new Promise((resolve, reject) => {
        open.set(id, { resolve, reject });
        model.send({ id, ask: name, question });
      });
    } finally {
      clearTimeout(slow);
      clearTimeout(silent);
      if (!open.size) frame.removeAttribute("aria-busy");
    }
  };
}

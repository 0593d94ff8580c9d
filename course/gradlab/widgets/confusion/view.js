// @ts-check
/** A confusion matrix whose cells are buttons, and a gallery of the images behind the chosen one. */

import { button, html, view } from "../kit.js";

const SCALE = 7;

/**
 * An image of grey values, dark on light in both themes: ink on paper.
 * @param {Uint8Array} grey
 * @param {number} width
 * @param {number} height
 * @param {string} label
 */
function drawn(grey, width, height, label) {
  const canvas = html("canvas", { width, height, role: "img", "aria-label": label, style: `width:${width * SCALE}px;height:${height * SCALE}px` });
  const image = new ImageData(width, height);
  grey.forEach((value, i) => image.data.set([255 - value, 255 - value, 255 - value, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

class ConfusionView {
  /** @param {import("../kit.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    const { counts, wrong, total } = stage.config;
    this.gallery = html("div", { class: "gl-gallery" });
    this.heading = html("h3", { class: "gl-heading" });
    this.all = button("All mistakes");
    /** @type {HTMLButtonElement[]} */
    this.cells = [];
    const largest = Math.max(1, ...counts.flatMap((/** @type {number[]} */ row, /** @type {number} */ i) => row.filter((_, j) => i !== j)));
    const rows = counts.map((/** @type {number[]} */ row, /** @type {number} */ truth) =>
      html("tr", {}, html("th", { scope: "row" }, String(truth)), ...row.map((count, answer) => this.cell(count, truth, answer, largest))));
    const head = counts.map((/** @type {number[]} */ _, /** @type {number} */ i) => html("th", { scope: "col" }, String(i)));
    stage.root.append(
      html("p", { class: "gl-title" }, `Confusion matrix: ${wrong} of ${total} wrong`),
      html("div", { class: "gl-halves" },
        html("table", { class: "gl-matrix" }, html("caption", {}, "Rows: the true digit. Columns: the answer. Choose a number to see its images."),
          html("thead", {}, html("tr", {}, html("td", {}), ...head)), html("tbody", {}, ...rows)),
        html("div", {}, html("div", { class: "gl-pair" }, this.heading, this.all), this.gallery)));
    stage.on(this.all, "click", () => this.show(null, null));
    stage.run(() => this.show(null, null));
  }

  /** @param {number} count @param {number} truth @param {number} answer @param {number} largest */
  cell(count, truth, answer, largest) {
    if (!count) return html("td", {}, html("span", { class: "gl-none" }, "·"));
    const label = truth === answer ? `${truth} read right: ${count}` : `${truth} taken for ${answer}: ${count}`;
    const right = truth === answer;
    const shade = right ? 0 : Math.round(15 + (45 * count) / largest);
    const press = html("button", { type: "button", class: right ? "gl-cell gl-right" : "gl-cell", "aria-label": label, "aria-pressed": "false", style: `--gl-shade:${shade}%` }, String(count));
    this.cells.push(press);
    this.stage.on(press, "click", () => this.show(truth, answer));
    press.dataset.cell = `${truth},${answer}`;
    return html("td", {}, press);
  }

  /** @param {number | null} truth null for all mistakes @param {number | null} answer */
  async show(truth, answer) {
    for (const cell of this.cells) cell.setAttribute("aria-pressed", String(cell.dataset.cell === `${truth},${answer}`));
    const reply = await this.stage.ask("gallery", { truth, answer });
    const { images, width, height } = reply.answer;
    const grey = new Uint8Array(reply.buffers[0].buffer, reply.buffers[0].byteOffset, reply.buffers[0].byteLength);
    const what = truth === null ? "All mistakes" : truth === answer ? `${truth}, read right` : `${truth}, taken for ${answer}`;
    this.heading.textContent = `${what}${images.length === this.stage.config.gallery ? `, the surest ${images.length}` : ""}`;
    this.gallery.replaceChildren(...images.map((/** @type {any} */ image, /** @type {number} */ i) => {
      const text = `${image.truth} as ${image.answer}, ${Math.round(100 * image.sure)} %`;
      return html("figure", {}, drawn(grey.subarray(i * width * height, (i + 1) * width * height), width, height, `example ${image.row}: a ${image.truth}`), html("figcaption", {}, text));
    }));
    if (!images.length) this.gallery.append(html("p", { class: "gl-hint" }, "None."));
    this.stage.say(`${what}: ${images.length} shown, the surest first.`);
    this.stage.drawn();
  }
}

export default view((stage) => {
  new ConfusionView(stage);
});

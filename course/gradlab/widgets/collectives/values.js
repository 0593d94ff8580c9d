// @ts-check
/** The arithmetic of the view: predicted times, places on the ring, numbers as text. */

/**
 * @typedef {object} Link
 * @property {number} latency of a message, in microseconds
 * @property {number} bandwidth in GB/s
 * @property {number} megabytes of the vector
 */
/** @typedef {[number, number]} Point */
/** @typedef {{from: Point, to: Point}} Arrow */

/** How many vectors a message holds to how many milliseconds it takes: MB over GB/s are milliseconds. */
const message = (/** @type {number} */ load, /** @type {Link} */ link) =>
  link.latency / 1000 + (load * link.megabytes) / link.bandwidth;

/**
 * Milliseconds that steps one after the other take, each as long as its busiest device.
 * @param {number[]} loads in vectors
 * @param {Link} link
 */
export function predict(loads, link) {
  return loads.reduce((sum, load) => sum + message(load, link), 0);
}

/**
 * The predicted milliseconds of the ways to sum over `size` devices.
 * @param {number} size
 * @param {Link} link
 */
export function known(size, link) {
  return {
    ring: 2 * (size - 1) * message(1 / size, link),
    tree: 2 * Math.ceil(Math.log2(size)) * message(1, link),
    naive: (size - 1) * message(1, link),
  };
}

/** @param {number} ms */
export function duration(ms) {
  const [value, unit] = ms < 1 ? [ms * 1000, "µs"] : ms < 1000 ? [ms, "ms"] : [ms / 1000, "s"];
  return `${rounded(value)} ${unit}`;
}

/** A number in three digits, without an exponent. @param {number} value */
export function rounded(value) {
  return String(Number(value.toPrecision(3)));
}

/**
 * The arrow between two boxes, from edge to edge; `aside` pixels to its right, where another comes the other way.
 * @param {Point} source @param {Point} target the centres
 * @param {{width: number, height: number}} box
 * @param {number} aside
 * @returns {Arrow}
 */
export function arrow([x1, y1], [x2, y2], box, aside) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const length = Math.hypot(dx, dy);
  const [sx, sy] = [(-dy / length) * aside, (dx / length) * aside];
  const edge = Math.min(box.width / 2 / Math.abs(dx || 1e-9), box.height / 2 / Math.abs(dy || 1e-9), 0.45);
  const at = (/** @type {number} */ t) => /** @type {Point} */ ([x1 + t * dx + sx, y1 + t * dy + sy]);
  return { from: at(edge), to: at(1 - edge) };
}

/** @param {Arrow} arrow @param {number} t @returns {Point} */
export function along({ from, to }, t) {
  return [from[0] + t * (to[0] - from[0]), from[1] + t * (to[1] - from[1])];
}

/** Whether the messages hold one that comes the other way. @param {{source: number, target: number}[]} messages @param {{source: number, target: number}} one */
export function meets(messages, { source, target }) {
  return messages.some((other) => other.source === target && other.target === source);
}

/** The first step after which something is wrong; -1 if there is none. @param {{cells: {wrong: string}[][]}[]} frames */
export function firstFault(frames) {
  return frames.findIndex(({ cells }) => cells.some((row) => row.some((cell) => cell.wrong)));
}

/** What a cell says, in a table. @param {{text: string, count: number, wrong: string}} cell @param {number} size */
export function words({ text, count, wrong }, size) {
  if (wrong) return `${text} wrong`;
  return count === size ? `${text} sum` : `${text} ${count}/${size}`;
}

/** The number with the letter of its chunk. @param {{text: string, chunk: number | null}} part @param {string} letters */
export function name({ text, chunk }, letters) {
  return `${chunk === null ? "?" : letters[chunk]} ${text}`;
}

/** The setting as the model's keywords. @param {Record<string, number>} setting */
export function keywords(setting) {
  return Object.entries(setting).map(([key, value]) => `${key}=${value}`).join(", ");
}

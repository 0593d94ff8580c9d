// @ts-check
/** The arithmetic of the dashboard: no document, no drawing. */

/** @typedef {[number, number | null, number | null, number | null]} Point step, loss, accuracy, learning rate */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */

/**
 * At most `room` points of a series: means over stretches of steps. Gaps where a value is not finite.
 * @param {Point[]} points
 * @param {number} column
 * @param {number} room
 * @returns {[number, number][]}
 */
export function thinned(points, column, room) {
  const width = Math.max(1, Math.ceil(points.length / room));
  /** @type {[number, number][]} */
  const found = [];
  for (let first = 0; first < points.length; first += width) {
    const some = points.slice(first, first + width).filter((point) => point[column] !== null);
    if (some.length) found.push([some[some.length - 1][0], some.reduce((sum, point) => sum + Number(point[column]), 0) / some.length]);
  }
  return found;
}

/**
 * An SVG path through points, in a box of pixels.
 * @param {[number, number][]} series
 * @param {Box} box
 * @param {number} steps the step at the right edge
 * @param {[number, number]} range the values at the bottom and at the top
 */
export function trail(series, box, steps, [low, high]) {
  const x = (/** @type {number} */ step) => box.left + ((box.right - box.left) * step) / steps;
  const y = (/** @type {number} */ value) => box.bottom - ((box.bottom - box.top) * (value - low)) / (high - low || 1);
  return series.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

/**
 * The outline of a histogram, filled from the baseline.
 * @param {number[]} shares
 * @param {number} width
 * @param {number} height
 */
export function hill(shares, width, height) {
  const top = Math.max(...shares);
  if (!top) return "";
  const bar = width / shares.length;
  const stairs = shares.map((share, i) => `L${(i * bar).toFixed(1)} ${(height * (1 - share / top)).toFixed(1)}H${((i + 1) * bar).toFixed(1)}`);
  return `M0 ${height}${stairs.join("")}V${height}Z`;
}

/** @param {number | null} value */
export function brief(value) {
  if (value === null || value === undefined) return "not finite";
  if (value === 0) return "0";
  return Math.abs(value) < 0.01 || Math.abs(value) >= 1e4 ? value.toExponential(1) : value.toPrecision(3);
}

/**
 * How long the rest takes at this pace, in words.
 * @param {number} done steps since the clock began
 * @param {number} seconds
 * @param {number} rest
 */
export function left(done, seconds, rest) {
  if (done < 2 || rest <= 0) return "";
  const wanted = (seconds / done) * rest;
  return wanted < 90 ? `about ${Math.ceil(wanted)} s left` : `about ${Math.round(wanted / 60)} min left`;
}

/** A third of a decade at a time. @param {number} from @param {number} to powers of ten */
export function rates(from, to) {
  return Array.from({ length: (to - from) * 6 + 1 }, (_, i) => Number((10 ** (from + i / 6)).toPrecision(3)));
}

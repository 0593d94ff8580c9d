// @ts-check
/** The arithmetic of the race's view: pure functions, tested in node. */

/** @typedef {{width: number, height: number, left: number, right: number, top: number, bottom: number}} Frame */
/** @typedef {{x: (value: number) => number, y: (value: number) => number}} Scales values to pixels */
/** @typedef {{problem: string | null, waiting: boolean, badges: string[], departs: number | null, arrives: number | null}} Finish */
/** @typedef {{path: Float32Array, ghost: Float32Array, finish: Finish}} LaneRun x, y, loss at each step; `ghost` is the library's */

const FAR = 1e4;

/**
 * @param {Frame} frame
 * @param {number[]} window left, right, bottom, top
 * @returns {Scales & {point: (px: number, py: number) => [number, number]}}
 */
export function planeScales(frame, [left, right, bottom, top]) {
  const perX = (frame.right - frame.left) / (right - left);
  const perY = (frame.bottom - frame.top) / (top - bottom);
  return {
    x: (value) => frame.left + (value - left) * perX,
    y: (value) => frame.bottom - (value - bottom) * perY,
    point: (px, py) => [left + (px - frame.left) / perX, bottom + (frame.bottom - py) / perY],
  };
}

/**
 * The point of the window nearest to (x, y), in hundredths: a start that can be read and typed.
 * @param {number} x
 * @param {number} y
 * @param {number[]} window
 * @returns {[number, number]}
 */
export function insideWindow(x, y, [left, right, bottom, top]) {
  const hold = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.round(Math.min(high, Math.max(low, value)) * 100) / 100;
  return [hold(x, left, right), hold(y, bottom, top)];
}

/**
 * The range of the loss axis. Where the least loss is known the axis shows what is left above it, from the top of the
 * window down by six powers of ten; where it is not, the loss itself.
 * @param {number | null} floor
 * @param {number} lowest
 * @param {number} highest
 */
export function lossRange(floor, lowest, highest) {
  if (floor === null) return { floor: 0, low: lowest * 0.8, high: highest * 1.5 };
  const high = (highest - floor) * 2;
  return { floor, low: high * 1e-6, high };
}

/**
 * @param {Frame} frame
 * @param {number} steps
 * @param {{floor: number, low: number, high: number}} range
 * @returns {Scales & {step: (px: number) => number}}
 */
export function lossScales(frame, steps, { floor, low, high }) {
  const perStep = (frame.right - frame.left) / steps;
  const perDecade = (frame.bottom - frame.top) / Math.log10(high / low);
  return {
    x: (step) => frame.left + step * perStep,
    y: (loss) => frame.bottom - Math.log10(Math.max(loss - floor, low / 10) / low) * perDecade,
    step: (px) => Math.min(steps, Math.max(0, Math.round((px - frame.left) / perStep))),
  };
}

/**
 * Round numbers from low to high, about `count` of them.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((m) => m * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/**
 * Marks for a logarithmic axis: powers of ten, or 1, 2 and 5 of each where there are few of them.
 * @param {number} low
 * @param {number} high
 */
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low));
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => 10 ** (first + i));
  const marks = decades.length > 4 ? decades : decades.flatMap((power) => [power, 2 * power, 5 * power]);
  return marks.filter((mark) => mark >= low && mark <= high);
}

/**
 * An SVG path through steps `from` to `to`; it ends where the run does, or where it leaves all pictures.
 * @param {Float32Array} run
 * @param {number} from
 * @param {number} to
 * @param {(run: Float32Array, step: number) => [number, number]} place
 */
export function line(run, from, to, place) {
  let path = "";
  for (let step = from; step <= to; step++) {
    const [x, y] = place(run, step);
    if (!(Math.abs(x) < FAR && Math.abs(y) < FAR)) break;
    path += `${path ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return path;
}

/** @param {Scales} scales @returns {(run: Float32Array, step: number) => [number, number]} */
export const onSurface = (scales) => (run, step) => [scales.x(run[3 * step]), scales.y(run[3 * step + 1])];

/** @param {Scales} scales @returns {(run: Float32Array, step: number) => [number, number]} */
export const onCurve = (scales) => (run, step) => [scales.x(step), scales.y(run[3 * step + 2])];

/**
 * The kernel's answer as lanes by learning rate. Where a lane has no ghost it follows the library, so its own path is
 * the library's.
 * @param {{rates: number[], finishes: Finish[][], ghosts: number[]}} answer
 * @param {DataView[]} buffers
 * @param {number} steps
 * @returns {Map<number, LaneRun[]>}
 */
export function unpack({ rates, finishes, ghosts }, buffers, steps) {
  const length = 3 * (steps + 1);
  const [paths, library] = buffers.map((b) => new Float32Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)));
  const run = (/** @type {Float32Array} */ all, /** @type {number} */ lane, /** @type {number} */ i) =>
    all.subarray((lane * rates.length + i) * length, (lane * rates.length + i + 1) * length);
  return new Map(
    rates.map((rate, i) => [
      rate,
      finishes.map((row, lane) => {
        const path = run(paths, lane, i);
        const place = ghosts.indexOf(lane);
        return { path, ghost: place < 0 ? path : run(library, place, i), finish: row[i] };
      }),
    ]),
  );
}

/**
 * The lane and step nearest to a pixel, within reach.
 * @param {LaneRun[]} lanes
 * @param {(lane: number) => boolean} visible
 * @param {(run: Float32Array, step: number) => [number, number]} place
 * @param {number} px
 * @param {number} py
 * @param {number} reach
 * @returns {{lane: number, step: number} | null}
 */
export function nearest(lanes, visible, place, px, py, reach) {
  let best = null;
  let least = reach;
  lanes.forEach(({ path }, lane) => {
    if (!visible(lane)) return;
    for (let step = 0; 3 * step < path.length; step++) {
      const [x, y] = place(path, step);
      const distance = Math.hypot(x - px, y - py);
      if (distance < least) {
        least = distance;
        best = { lane, step };
      }
    }
  });
  return best;
}

/**
 * A number for a table: three digits, a power of ten where it is very small or large.
 * @param {number} value
 */
export function number(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e4 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace(".0e", "e").replace("e+", "e").replaceAll("-", "−");
}

/**
 * The setting as keywords for `OptimizerRace`.
 * @param {any} setting
 * @param {string | null} knob
 */
export function keywords(setting, knob) {
  const { surface, start, learning_rate, decay, b1, b2 } = setting;
  const shape = knob ? `${knob}=${setting[knob]}, ` : "";
  return `surface="${surface}", ${shape}start=(${start[0]}, ${start[1]}), learning_rate=${learning_rate}, decay=${decay}, b1=${b1}, b2=${b2}`;
}

/**
 * Where a pointer is, in the pixels of a drawing's viewBox.
 * @param {{clientX: number, clientY: number}} event
 * @param {SVGSVGElement} drawing
 * @returns {[number, number]}
 */
export function pixel({ clientX, clientY }, drawing) {
  const { left, top, width, height } = drawing.getBoundingClientRect();
  const { width: w, height: h } = drawing.viewBox.baseVal;
  return [((clientX - left) / width) * w, ((clientY - top) / height) * h];
}

/**
 * How the race ended, in a sentence.
 * @param {{name: string}[]} lanes
 * @param {LaneRun[]} runs
 */
export function outcome(lanes, runs) {
  const arrived = runs.flatMap(({ finish }, i) => (finish.arrives === null ? [] : [{ name: lanes[i].name, step: finish.arrives }]));
  arrived.sort((a, b) => a.step - b.step);
  const away = runs.flatMap(({ finish }, i) => (finish.departs === null ? [] : [lanes[i].name]));
  const first = arrived.length ? `First to 1 % of the height: ${arrived[0].name}, at step ${arrived[0].step}.` : "None came down to 1 % of the height.";
  return away.length ? `${first} Not as the library: ${away.join(", ")}.` : first;
}

// @ts-check
/** The arithmetic of the behaviour view: pure functions, tested in node. */

/** Class 0, and what is negative, is blue; class 1, and what is positive, is orange. */
export const BLUE = [0, 114, 178];
export const ORANGE = [230, 159, 0];
const GREY = [128, 128, 128];
const FAINT = 25;
const STRONG = 135;

/**
 * A map as pixels: the sign as a colour, the size as its strength, and a grey line where the sign changes. What is not
 * a number stays empty.
 * @param {Float32Array} values
 * @param {number} size rows and columns
 * @param {number} peak the value of full strength
 */
export function shade(values, size, peak) {
  const pixels = new Uint8ClampedArray(4 * size * size);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (Number.isNaN(value)) continue;
    const edge = crosses(values, size, i);
    const strength = Math.min(1, Math.abs(value) / peak);
    pixels.set(edge ? GREY : value > 0 ? ORANGE : BLUE, 4 * i);
    pixels[4 * i + 3] = edge ? 255 : FAINT + (STRONG - FAINT) * strength;
  }
  return pixels;
}

/**
 * Whether the sign changes to the right of a pixel or below it.
 * @param {Float32Array} values
 * @param {number} size
 * @param {number} i
 */
function crosses(values, size, i) {
  const right = (i + 1) % size ? values[i + 1] : values[i];
  const below = i + size < values.length ? values[i + size] : values[i];
  return values[i] > 0 !== right > 0 || values[i] > 0 !== below > 0;
}

/** The largest size of a number in the values. @param {Float32Array} values */
export function peakOf(values) {
  let peak = 0;
  for (const value of values) if (Math.abs(value) > peak && Number.isFinite(value)) peak = Math.abs(value);
  return peak || 1;
}

/** How much of the square a unit is active on, from 0 to 1. @param {Float32Array} values */
export function activePart(values) {
  let count = 0;
  for (const value of values) if (value > 0) count++;
  return count / values.length;
}

/**
 * The kernel's buffers as maps.
 * @param {{widths: number[], enlarged: number[] | null}} answer
 * @param {DataView[]} buffers
 * @param {number} small
 */
export function unpackMaps({ widths, enlarged }, buffers, small) {
  const arrays = buffers.map((b) => new Float32Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)));
  const layers = arrays.slice(enlarged ? 2 : 1);
  const area = small * small;
  return {
    margin: arrays[0],
    unit: enlarged ? arrays[1] : null,
    units: widths.map((width, layer) => Array.from({ length: width }, (_, i) => layers[layer].subarray(i * area, (i + 1) * area))),
  };
}

/**
 * Points between two, no farther apart than `gap`: a fast stroke leaves no hole. The last is the second point.
 * @param {number[]} from
 * @param {number[]} to
 * @param {number} gap
 */
export function stroke([x0, y0], [x1, y1], gap) {
  const count = Math.floor(Math.hypot(x1 - x0, y1 - y0) / gap);
  return Array.from({ length: count }, (_, i) => [x0 + ((x1 - x0) * (i + 1)) / count, y0 + ((y1 - y0) * (i + 1)) / count]);
}

/**
 * The setting as keywords for `Behaviour`.
 * @param {{data: string, seed: number, learning_rate: number, painted: number[][]}} setting
 */
export function behaviourKeywords({ data, seed, learning_rate, painted }) {
  const points = painted.map(([x, y, c]) => `(${Number(x.toFixed(2))}, ${Number(y.toFixed(2))}, ${c})`).join(", ");
  return `data="${data}", seed=${seed}, learning_rate=${learning_rate}${points ? `, painted=[${points}]` : ""}`;
}

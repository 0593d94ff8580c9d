// @ts-check
/** The arithmetic of the explorer's view: pure functions. */

export const BINS = 20;

/**
 * The smallest and the largest finite value, and how many are not finite.
 * @param {Float32Array} values
 */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  let gaps = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) gaps += 1;
    else {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return { low, high, gaps, empty: gaps === values.length };
}

/**
 * How many values fall into each of equal bins from low to high; where all are equal they are in the first.
 * @param {Float32Array} values
 * @param {number} low
 * @param {number} high
 */
export function histogram(values, low, high) {
  const counts = new Array(BINS).fill(0);
  const width = high > low ? (high - low) / BINS : 1;
  for (const value of values) {
    if (Number.isFinite(value)) counts[Math.min(BINS - 1, Math.floor((value - low) / width))] += 1;
  }
  return counts;
}

/** @param {number} value */
export function short(value) {
  if (!Number.isFinite(value)) return "gap";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits).replace("-", "\u2212");
}

/** @param {number[]} values */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The mean of what the second list has more than the first, and the standard error of that mean.
 * @param {number[]} one
 * @param {number[]} other
 */
export function gain(one, other) {
  const gaps = other.map((value, i) => value - one[i]);
  const middle = mean(gaps);
  const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - middle) ** 2, 0) / (gaps.length - 1));
  return { middle, error: spread / Math.sqrt(gaps.length) };
}

/**
 * Rows to show: first those whose raw cell is not simply a number, each once.
 * @param {number[]} ids the ids of the raw rows
 * @param {string[]} cells their raw cells
 * @param {number} count
 */
export function samples(ids, cells, count) {
  const rows = ids.map((_, row) => row).filter((row) => ids.indexOf(ids[row]) === row);
  const plain = (/** @type {number} */ row) => /^-?[\d.]+$/.test(cells[row]);
  const kinds = new Map(rows.filter((row) => !plain(row)).map((row) => [cells[row].replace(/[\d.]+/g, "#"), row]));
  const strange = [...kinds.values()].slice(0, count - 2);
  return [...strange, ...rows.filter(plain)].slice(0, count);
}

/** The order with a step moved by one place; the first place belongs to clean. @param {string[]} order @param {string} step @param {number} by */
export function shifted(order, step, by) {
  const from = order.indexOf(step);
  const to = from + by;
  if (from < 1 || to < 1 || to >= order.length) return order;
  const moved = [...order];
  [moved[from], moved[to]] = [moved[to], moved[from]];
  return moved;
}

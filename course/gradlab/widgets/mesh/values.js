// @ts-check
/** The arithmetic of the view: bytes as text, the segments of a bar, the setting as keywords. */

/** @typedef {{name: string, letter: string, x: number, width: number}} Segment */

/** A size in bytes, in three digits. @param {number} bytes */
export function size(bytes) {
  const [value, unit] = bytes < 1e3 ? [bytes, "B"] : bytes < 1e6 ? [bytes / 1e3, "kB"] : bytes < 1e9 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

/** The sum of what is held. @param {Record<string, number>} memory */
export function total(memory) {
  return Object.values(memory).reduce((sum, part) => sum + part, 0);
}

/**
 * The parts of a bar beside each other, `most` bytes being `width` pixels.
 * @param {Record<string, number>} memory @param {number} most @param {number} width
 * @returns {Segment[]}
 */
export function segments(memory, most, width) {
  let x = 0;
  return Object.entries(memory).map(([name, bytes]) => {
    const segment = { name, letter: name[0].toUpperCase(), x, width: most ? (bytes / most) * width : 0 };
    x += segment.width;
    return segment;
  });
}

/**
 * What a device holds, with a batch in a precision.
 * @param {{states: Record<string, number>, activations: Record<string, number>}} memory
 * @param {{batch: number, precision: string}} setting
 * @returns {Record<string, number>}
 */
export function held({ states, activations }, { batch, precision }) {
  return { ...states, activations: batch * activations[precision] };
}

/**
 * Bytes that a device sends in collectives of one kind.
 * @param {{numbers: number, activations: boolean}} collective
 * @param {{batch: number, precision: string}} setting @param {Record<string, number>} itemsizes
 */
export function sent({ numbers, activations }, { batch, precision }, itemsizes) {
  return numbers * itemsizes[precision] * (activations ? batch : 1);
}

/** A shape as Python writes it. @param {number[]} shape */
export function tuple(shape) {
  return `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
}

/** @param {number} share of one */
export function percent(share) {
  return `${Number((100 * share).toPrecision(3))} %`;
}

/** The setting as the model's keywords. @param {Record<string, any>} setting */
export function keywords(setting) {
  return Object.entries(setting).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(", ");
}

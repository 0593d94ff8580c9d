import assert from "node:assert/strict";
import { test } from "node:test";

import { BLUE, ORANGE, activePart, behaviourKeywords, peakOf, shade, stroke, unpackMaps } from "./behaviour/pixels.js";

const pixel = (pixels, i) => [...pixels.slice(4 * i, 4 * i + 4)];

test("the sign is a colour and the size its strength", () => {
  const pixels = shade(new Float32Array([1, 4, 9, 2]), 2, 4);
  assert.deepEqual(pixel(pixels, 1).slice(0, 3), ORANGE);
  assert.equal(pixel(pixels, 1)[3], pixel(pixels, 2)[3]);
  assert.ok(pixel(pixels, 0)[3] < pixel(pixels, 3)[3]);
  assert.deepEqual(pixel(shade(new Float32Array([-1, -1, -1, -1]), 2, 1), 0).slice(0, 3), BLUE);
});

test("a change of sign is a grey line, and it does not wrap around the edge", () => {
  const pixels = shade(new Float32Array([-1, 1, -1, 1]), 2, 1);
  assert.deepEqual(pixel(pixels, 0), [128, 128, 128, 255]);
  assert.deepEqual(pixel(pixels, 1).slice(0, 3), ORANGE);
});

test("what is not a number stays empty", () => {
  assert.deepEqual(pixel(shade(new Float32Array([NaN, 1, 1, 1]), 2, 1), 0), [0, 0, 0, 0]);
});

test("the peak ignores infinities, and is 1 where all is zero", () => {
  assert.equal(peakOf(new Float32Array([-3, 2, Infinity, NaN])), 3);
  assert.equal(peakOf(new Float32Array(4)), 1);
});

test("the active part counts what is above zero", () => {
  assert.equal(activePart(new Float32Array([1, 0, -1, 2])), 0.5);
});

test("buffers become maps, with and without an enlarged unit", () => {
  const view = (...values) => new DataView(new Float32Array(values).buffer);
  const plain = unpackMaps({ widths: [2], enlarged: null }, [view(1, 2, 3, 4), view(5, 6)], 1);
  assert.deepEqual([[...plain.margin], plain.unit, plain.units[0].map((u) => [...u])], [[1, 2, 3, 4], null, [[5], [6]]]);
  const large = unpackMaps({ widths: [1], enlarged: [0, 0] }, [view(1), view(2), view(3)], 1);
  assert.deepEqual([[...large.unit], [...large.units[0][0]]], [[2], [3]]);
});

test("a fast stroke leaves no hole", () => {
  assert.deepEqual(stroke([0, 0], [0.3, 0], 0.1).map(([x]) => Number(x.toFixed(2))), [0.15, 0.3]);
  assert.deepEqual(stroke([0, 0], [0.05, 0], 0.1), []);
});

test("the state is keywords", () => {
  const setting = { data: "moons", seed: 2, learning_rate: 0.1, painted: [] };
  assert.equal(behaviourKeywords(setting), 'data="moons", seed=2, learning_rate=0.1');
  const painted = { ...setting, painted: [[0.123, -1, 1]] };
  assert.equal(behaviourKeywords(painted), 'data="moons", seed=2, learning_rate=0.1, painted=[(0.12, -1, 1)]');
});

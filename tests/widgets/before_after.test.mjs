// The arithmetic of the before/after explorer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { BINS, extent, gain, histogram, samples, shifted, short } from "./before_after/values.js";

test("an extent leaves gaps out and counts them", () => {
  assert.deepEqual(extent(new Float32Array([2, NaN, -1, Infinity])), { low: -1, high: 2, gaps: 2, empty: false });
  assert.equal(extent(new Float32Array([NaN])).empty, true);
});

test("a histogram holds every finite value, the largest in the last bin", () => {
  const values = new Float32Array(Array.from({ length: 101 }, (_, i) => i / 100).concat(NaN));
  const counts = histogram(values, 0, 1);
  assert.equal(counts.length, BINS);
  assert.equal(counts.reduce((a, b) => a + b), 101);
  assert.ok(counts.at(-1) >= 5);
  assert.equal(histogram(new Float32Array([3, 3]), 3, 3)[0], 2);
});

test("the gain is paired, with the standard error of its mean", () => {
  const { middle, error } = gain([0.5, 0.6, 0.7], [0.6, 0.8, 0.7]);
  assert.ok(Math.abs(middle - 0.1) < 1e-12);
  assert.ok(Math.abs(error - 0.1 / Math.sqrt(3)) < 1e-12);
});

test("samples show each kind of strange cell once, and plain ones after", () => {
  const cells = ["97", "'4.2 mmol/L'", "'5.1 mmol/L'", "None", "98.0", "'97'"];
  const rows = samples([1, 2, 3, 4, 5, 1], cells, 5);
  assert.deepEqual(rows.map((row) => cells[row]), ["'5.1 mmol/L'", "None", "97", "98.0"]);
});

test("a step moves by one place, and never before clean", () => {
  const order = ["clean", "impute", "scale"];
  assert.deepEqual(shifted(order, "impute", 1), ["clean", "scale", "impute"]);
  assert.equal(shifted(order, "impute", -1), order);
  assert.equal(shifted(order, "clean", 1), order);
  assert.equal(shifted(order, "scale", 1), order);
});

test("numbers are short, and a gap says so", () => {
  assert.equal(short(-2.345), "\u22122.35");
  assert.equal(short(123.4), "123");
  assert.equal(short(NaN), "gap");
});

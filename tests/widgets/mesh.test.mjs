import assert from "node:assert/strict";
import { test } from "node:test";

import * as v from "./mesh/values.js";

test("bytes have the unit that suits them", () => {
  assert.deepEqual([12, 2048, 1.234e6, 5.5e9].map(v.size), ["12 B", "2.05 kB", "1.23 MB", "5.5 GB"]);
});

test("segments stand beside each other, and are as long as their bytes", () => {
  const memory = { parameters: 10, gradients: 10, optimizer: 20 };
  assert.equal(v.total(memory), 40);
  assert.deepEqual(v.segments(memory, 80, 100), [
    { name: "parameters", letter: "P", x: 0, width: 12.5 },
    { name: "gradients", letter: "G", x: 12.5, width: 12.5 },
    { name: "optimizer", letter: "O", x: 25, width: 25 },
  ]);
  assert.equal(v.segments({ parameters: 0 }, 0, 100)[0].width, 0);
});

test("bytes grow with the batch where they are of activations", () => {
  const setting = { batch: 8, precision: "bfloat16" };
  const memory = { states: { parameters: 10 }, activations: { bfloat16: 3, float32: 6 } };
  assert.deepEqual(v.held(memory, setting), { parameters: 10, activations: 24 });
  assert.deepEqual(v.held(memory, { batch: 2, precision: "float32" }), { parameters: 10, activations: 12 });
  const itemsizes = { bfloat16: 2, float32: 4 };
  assert.equal(v.sent({ numbers: 5, activations: false }, setting, itemsizes), 10);
  assert.equal(v.sent({ numbers: 5, activations: true }, setting, itemsizes), 80);
});

test("shapes and shares as text", () => {
  assert.deepEqual([[3], [3, 4], []].map(v.tuple), ["(3,)", "(3, 4)", "()"]);
  assert.equal(v.percent(0.12345), "12.3 %");
});

test("the setting is Python", () => {
  const setting = { mesh: "4x2", batch: 8, edits: { a: 'P("data")' } };
  assert.equal(v.keywords(setting), 'mesh="4x2", batch=8, edits={"a":"P(\\"data\\")"}');
});

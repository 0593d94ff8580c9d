import assert from "node:assert/strict";
import { test } from "node:test";

import * as v from "./collectives/values.js";

const LINK = { latency: 10, bandwidth: 50, megabytes: 100 };

test("a message takes its latency and its bytes over the bandwidth", () => {
  // 100 MB at 50 GB/s are 2 ms; 10 µs are 0.01 ms
  assert.equal(v.predict([1], LINK), 2.01);
  assert.equal(v.predict([], LINK), 0);
  assert.ok(Math.abs(v.predict([0.5, 0.25], LINK) - 1.52) < 1e-12);
});

test("the ring at the bound moves 2(n-1)/n vectors in 2(n-1) messages", () => {
  const { ring, tree, naive } = v.known(8, LINK);
  assert.ok(Math.abs(ring - (14 * 0.01 + 1.75 * 2)) < 1e-12);
  assert.ok(Math.abs(tree - 6 * 2.01) < 1e-12);
  assert.ok(Math.abs(naive - 7 * 2.01) < 1e-12);
  assert.ok(Math.abs(v.predict(Array(14).fill(1 / 8), LINK) - ring) < 1e-12);
});

test("a short vector is summed sooner by a tree than by a ring", () => {
  const { ring, tree } = v.known(8, { ...LINK, megabytes: 0.001 });
  assert.ok(tree < ring);
  assert.equal(v.known(5, LINK).tree, 6 * 2.01); // three levels, up and down
});

test("durations have the unit that suits them", () => {
  assert.deepEqual([0.0123, 3.641, 4200].map(v.duration), ["12.3 µs", "3.64 ms", "4.2 s"]);
});

test("an arrow goes from edge to edge", () => {
  const box = { width: 40, height: 20 };
  assert.deepEqual(v.arrow([0, 0], [100, 0], box, 0), { from: [20, 0], to: [80, 0] });
  assert.deepEqual(v.arrow([0, 0], [0, 100], box, 0), { from: [0, 10], to: [0, 90] });
  const aside = v.arrow([0, 0], [100, 0], box, 5);
  assert.deepEqual(aside, { from: [20, 5], to: [80, 5] });
  assert.deepEqual(v.along(aside, 0.5), [50, 5]);
});

test("two messages meet when they go to and fro", () => {
  const messages = [{ source: 0, target: 1 }, { source: 1, target: 0 }, { source: 1, target: 2 }];
  assert.deepEqual(messages.map((one) => v.meets(messages, one)), [true, true, false]);
});

test("the first fault is the first frame with a wrong cell", () => {
  const frame = (...wrong) => ({ cells: [wrong.map((text) => ({ wrong: text }))] });
  assert.equal(v.firstFault([frame("", ""), frame("", "mixed"), frame("mixed", "")]), 1);
  assert.equal(v.firstFault([frame("")]), -1);
});

test("cells in words", () => {
  assert.equal(v.words({ text: "7", count: 1, wrong: "" }, 4), "7 1/4");
  assert.equal(v.words({ text: "22", count: 4, wrong: "" }, 4), "22 sum");
  assert.equal(v.words({ text: "9", count: 0, wrong: "mixed" }, 4), "9 wrong");
  assert.equal(v.name({ text: "9", chunk: 2 }, "ABCD"), "C 9");
  assert.equal(v.name({ text: "9", chunk: null }, "ABCD"), "? 9");
  assert.equal(v.keywords({ devices: 4, step: 2 }), "devices=4, step=2");
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { latest } from "./kit.js";
import * as g from "./optimizer_race/geometry.js";

const FRAME = { width: 480, height: 360, left: 36, right: 468, top: 12, bottom: 336 };
const WINDOW = [-2, 2, -1, 2];

test("scales and their inverse", () => {
  const scales = g.planeScales(FRAME, WINDOW);
  assert.deepEqual([scales.x(-2), scales.x(2), scales.y(-1), scales.y(2)], [36, 468, 336, 12]);
  assert.deepEqual(scales.point(scales.x(0.5), scales.y(1.5)), [0.5, 1.5]);
});

test("a start is held inside the window, in hundredths", () => {
  assert.deepEqual(g.insideWindow(7, -9, WINDOW), [2, -1]);
  assert.deepEqual(g.insideWindow(0.12345, 0.999, WINDOW), [0.12, 1]);
});

test("the loss axis is logarithmic above the floor", () => {
  const range = g.lossRange(-0.25, -0.25, 99.75);
  assert.deepEqual(range, { floor: -0.25, low: 200 * 1e-6, high: 200 });
  const scales = g.lossScales(FRAME, 150, range);
  assert.equal(scales.y(-0.25 + 200), 12);
  assert.ok(Math.abs(scales.y(-0.25 + 200e-6) - 336) < 1e-9);
  assert.ok(scales.y(-0.25) > 336, "the floor itself lies below the axis, not at infinity");
  assert.equal(scales.step(36), 0);
  assert.equal(scales.step(9999), 150);
});

test("without a floor the loss itself is shown", () => {
  assert.deepEqual(g.lossRange(null, 0.2, 10), { floor: 0, low: 0.2 * 0.8, high: 15 });
});

test("ticks are round", () => {
  assert.deepEqual(g.ticks(-4, 4, 8), [-4, -3, -2, -1, 0, 1, 2, 3, 4]);
  assert.deepEqual(g.ticks(0, 150, 3), [0, 50, 100, 150]);
  assert.deepEqual(g.logTicks(0.15, 12), [0.2, 0.5, 1, 2, 5, 10]);
  assert.deepEqual(g.logTicks(2e-5, 20), [1e-4, 1e-3, 1e-2, 1e-1, 1, 10].map((v) => 10 ** Math.round(Math.log10(v))));
});

test("a line ends where the run leaves the numbers", () => {
  const run = new Float32Array([0, 0, 1, 1, 1, 1, Infinity, 0, 1, 2, 2, 2]);
  const scales = { x: (v) => v, y: (v) => v };
  assert.equal(g.line(run, 0, 3, g.onSurface(scales)), "M0.0 0.0L1.0 1.0");
  assert.equal(g.line(new Float32Array(3).fill(NaN), 0, 0, g.onSurface(scales)), "");
});

test("an answer is unpacked by rate and lane", () => {
  const steps = 1;
  const paths = Float32Array.from({ length: 2 * 2 * 2 * 3 }, (_, i) => i); // lanes, rates, steps, numbers
  const ghosts = Float32Array.from({ length: 1 * 2 * 2 * 3 }, (_, i) => 100 + i);
  // As they come from a socket: somewhere in a larger buffer, at an offset that no Float32Array could start at.
  const buffers = [paths, ghosts].map((array) => {
    const bytes = new Uint8Array(array.byteLength + 1);
    bytes.set(new Uint8Array(array.buffer), 1);
    return new DataView(bytes.buffer, 1);
  });
  const finish = (name) => ({ name });
  const answer = { rates: [3, 8], finishes: [[finish("a3"), finish("a8")], [finish("b3"), finish("b8")]], ghosts: [1] };
  const lanes = g.unpack(answer, buffers, steps).get(8);
  assert.deepEqual([...lanes[0].path], [6, 7, 8, 9, 10, 11]);
  assert.equal(lanes[0].ghost, lanes[0].path);
  assert.deepEqual([...lanes[1].path], [18, 19, 20, 21, 22, 23]);
  assert.deepEqual([...lanes[1].ghost], [106, 107, 108, 109, 110, 111]);
  assert.equal(lanes[1].finish.name, "b8");
});

test("the nearest point is found among the lanes that are shown", () => {
  const lanes = [[0, 0, 0, 10, 0, 0], [0, 5, 0, 10, 5, 0]].map((run) => ({ path: new Float32Array(run) }));
  const place = g.onSurface({ x: (v) => v, y: (v) => v });
  assert.deepEqual(g.nearest(lanes, () => true, place, 9, 4, 14), { lane: 1, step: 1 });
  assert.deepEqual(g.nearest(lanes, (lane) => lane === 0, place, 9, 4, 14), { lane: 0, step: 1 });
  assert.equal(g.nearest(lanes, () => true, place, 90, 90, 14), null);
});

test("numbers for a table", () => {
  const cases = [[0, "0"], [0.12345, "0.123"], [-2, "−2"], [1.23e-7, "1.2e−7"], [1e-4, "1e−4"], [12345, "1.2e4"], [NaN, "–"], [Infinity, "∞"]];
  for (const [value, text] of cases) assert.equal(g.number(value), text);
});

test("the state is copied as keywords", () => {
  const setting = { surface: "digits", condition: 20, seed: 3, start: [0.5, -0.25], learning_rate: 0.02, decay: 0.9, b1: 0.9, b2: 0.999 };
  assert.equal(g.keywords(setting, "seed"), 'surface="digits", seed=3, start=(0.5, -0.25), learning_rate=0.02, decay=0.9, b1=0.9, b2=0.999');
  assert.ok(!g.keywords(setting, null).includes("seed"));
});

test("the outcome in a sentence", () => {
  const lanes = [{ name: "momentum" }, { name: "adam" }];
  const run = (arrives, departs) => ({ finish: { arrives, departs } });
  assert.equal(g.outcome(lanes, [run(30, null), run(20, 4)]), "First to 1 % of the height: adam, at step 20. Not as the library: adam.");
  assert.equal(g.outcome(lanes, [run(null, null), run(null, null)]), "None came down to 1 % of the height.");
});

test("latest keeps the newest question and drops those between", async () => {
  const asked = [];
  let release = () => {};
  const ask = latest(async (question) => {
    asked.push(question);
    await new Promise((resolve) => (release = resolve));
  });
  const first = ask(1);
  ask(2);
  ask(3);
  release();
  await new Promise((resolve) => setTimeout(resolve));
  release();
  await first;
  assert.deepEqual(asked, [1, 3]);
});

test("latest goes on after an error", async () => {
  let fail = true;
  const ask = latest(async () => {
    if (fail) throw new Error("once");
  });
  await assert.rejects(ask(), /once/);
  fail = false;
  await ask();
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createScheduler } from "../data-plane/scheduler.ts";

/** Takes all that may run now. */
function takeAll<T>(scheduler: { take(): T | undefined }): T[] {
  const taken: T[] = [];
  for (let item = scheduler.take(); item !== undefined; item = scheduler.take()) taken.push(item);
  return taken;
}

describe("the scheduler", () => {
  test("runs what came first first, within a key", () => {
    const scheduler = createScheduler<number>({ slots: 100, perKeyMax: 100 });
    for (let n = 0; n < 5; n++) scheduler.enqueue("a", n);
    expect(takeAll(scheduler)).toEqual([0, 1, 2, 3, 4]);
    expect([scheduler.waiting(), scheduler.running()]).toEqual([0, 5]);
  });

  test("lets keys take turns", () => {
    const scheduler = createScheduler<string>({ slots: 100, perKeyMax: 100 });
    for (let n = 0; n < 4; n++) scheduler.enqueue("a", `a${n}`);
    for (let n = 0; n < 2; n++) scheduler.enqueue("b", `b${n}`);
    expect(takeAll(scheduler)).toEqual(["a0", "b0", "a1", "b1", "a2", "a3"]);
  });

  test("a flood of one key delays another's next by one round", () => {
    const scheduler = createScheduler<string>({ slots: 8, perKeyMax: 4 });
    for (let n = 0; n < 100_000; n++) scheduler.enqueue("flood", "flood");
    expect(takeAll(scheduler)).toHaveLength(4);
    scheduler.enqueue("other", "other");
    scheduler.release("flood");
    // One of the flood is before it in the ring at most.
    expect(takeAll(scheduler)).toContain("other");
  });

  test("a key runs no more than its limit, and all together no more than there are slots", () => {
    const scheduler = createScheduler<string>({ slots: 3, perKeyMax: 2 });
    for (let n = 0; n < 5; n++) scheduler.enqueue("a", "a");
    expect(takeAll(scheduler)).toEqual(["a", "a"]);
    for (let n = 0; n < 5; n++) scheduler.enqueue("b", "b");
    expect(takeAll(scheduler)).toEqual(["b"]);
    scheduler.release("a");
    expect(takeAll(scheduler)).toHaveLength(1);
    expect(() => scheduler.release("never")).toThrow();
  });

  test("nothing runs without slots", () => {
    const scheduler = createScheduler<string>({ slots: 0, perKeyMax: 1 });
    scheduler.enqueue("a", "a");
    expect(scheduler.take()).toBeUndefined();
    expect(scheduler.waiting()).toBe(1);
  });

  test("whatever comes and ends in whatever order: limits hold, no slot idles while work may run, turns are fair", () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant("enqueue" as const), key: fc.constantFrom("a", "b", "c", "d") }),
        fc.record({ kind: fc.constant("end" as const), at: fc.nat(50) }),
      ),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        steps,
        (slots, perKeyMax, all) => {
          const scheduler = createScheduler<{ key: string; n: number }>({ slots, perKeyMax });
          const waiting: { key: string; n: number }[] = [];
          const running: { key: string; n: number }[] = [];
          const runningOf = (key: string) => running.filter((item) => item.key === key).length;
          let n = 0;
          for (const step of all) {
            if (step.kind === "enqueue") {
              const item = { key: step.key, n: n++ };
              waiting.push(item);
              scheduler.enqueue(step.key, item);
            } else if (running.length > 0) {
              const [ended] = running.splice(step.at % running.length, 1);
              scheduler.release(ended!.key);
            }
            const before = new Set(
              waiting.filter(({ key }) => runningOf(key) < perKeyMax).map(({ key }) => key),
            );
            const taken = takeAll(scheduler);
            for (const item of taken) {
              // First come, first served within the key.
              expect(waiting.find(({ key }) => key === item.key)).toBe(item);
              waiting.splice(waiting.indexOf(item), 1);
              running.push(item);
              expect(runningOf(item.key)).toBeLessThanOrEqual(perKeyMax);
            }
            expect(running.length).toBeLessThanOrEqual(slots);
            if (running.length < slots) for (const { key } of waiting) expect(runningOf(key)).toBe(perKeyMax);
            // Nobody has a second turn before all who could have had a first.
            const first = new Set(taken.slice(0, before.size).map(({ key }) => key));
            expect(first.size).toBe(Math.min(before.size, taken.length));
          }
          expect(scheduler.waiting()).toBe(waiting.length);
          expect(scheduler.running()).toBe(running.length);
        },
      ),
    );
  });
});

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

describe("a flow's own queue", () => {
  const sequential = "a 1  one";
  const throttled = "a 2  two";

  test("runs no more at once than its limit, beside the others of its instance", () => {
    const scheduler = createScheduler<string>({ slots: 100, perKeyMax: 100 });
    for (let n = 0; n < 3; n++) scheduler.enqueue(sequential, `one${n}`);
    for (let n = 0; n < 3; n++) scheduler.enqueue(throttled, `two${n}`);
    for (let n = 0; n < 2; n++) scheduler.enqueue("a", `plain${n}`);
    expect(takeAll(scheduler).sort()).toEqual(["one0", "plain0", "plain1", "two0", "two1"]);
    expect([scheduler.waiting(), scheduler.running()]).toEqual([3, 5]);
    scheduler.release(sequential);
    scheduler.release("a");
    expect(takeAll(scheduler)).toEqual(["one1"]);
    scheduler.release(throttled);
    scheduler.release(throttled);
    expect(takeAll(scheduler)).toEqual(["two2"]);
  });

  test("is of one instance: the same flow of another runs beside it", () => {
    const scheduler = createScheduler<string>({ slots: 100, perKeyMax: 100 });
    for (const key of [sequential, "b 1  one"]) for (let n = 0; n < 2; n++) scheduler.enqueue(key, key + n);
    expect(takeAll(scheduler)).toEqual([`${sequential}0`, "b 1  one0"]);
  });

  test("counts for the instance's limit, and takes turns with its other flows", () => {
    const scheduler = createScheduler<string>({ slots: 100, perKeyMax: 1 });
    for (let n = 0; n < 2; n++) scheduler.enqueue(throttled, `two${n}`);
    for (let n = 0; n < 2; n++) scheduler.enqueue("a", `plain${n}`);
    const order: string[] = [];
    for (let taken = takeAll(scheduler); taken.length > 0; taken = takeAll(scheduler)) {
      expect(taken).toHaveLength(1);
      order.push(taken[0]!);
      scheduler.release(taken[0]!.startsWith("two") ? throttled : "a");
    }
    expect(order).toEqual(["two0", "plain0", "two1", "plain1"]);
  });

  test("takes what is put back to its place, and what comes new to its end", () => {
    const isBefore = (one: number, other: number) => one < other;
    const scheduler = createScheduler<number>({ slots: 100, perKeyMax: 100, isBefore });
    for (const item of [1, 5, 7]) scheduler.enqueue(sequential, item);
    expect(takeAll(scheduler)).toEqual([1]);
    scheduler.release(sequential);
    scheduler.putBack(sequential, 6);
    scheduler.putBack(sequential, 1);
    scheduler.enqueue(sequential, 0);
    const order: number[] = [];
    for (let item = scheduler.take(); item !== undefined; item = scheduler.take()) {
      order.push(item);
      scheduler.release(sequential);
    }
    expect(order).toEqual([1, 5, 6, 7, 0]);
  });

  test("has the limit of what came last", () => {
    const scheduler = createScheduler<number>({ slots: 100, perKeyMax: 100 });
    for (let n = 0; n < 3; n++) scheduler.enqueue("a 1  one", n);
    expect(takeAll(scheduler)).toEqual([0]);
    scheduler.enqueue("a 3  one", 3);
    expect(takeAll(scheduler)).toEqual([1, 2]);
  });
});

test("what is taken out of its turn is charged like the others, and no longer waits", () => {
  for (const key of ["a", "a 1  one"]) {
    const scheduler = createScheduler<number>({ slots: 100, perKeyMax: 100 });
    scheduler.enqueue(key, 1);
    scheduler.enqueue(key, 2);
    expect(scheduler.takeOut(key, (item) => item === 3)).toBeUndefined();
    expect(scheduler.takeOut(key, (item) => item === 1)).toBe(1);
    expect(scheduler.takeOut(key, (item) => item === 2)).toBe(2);
    expect([scheduler.waiting(), scheduler.running(), scheduler.take()]).toEqual([0, 2, undefined]);
    scheduler.release(key);
    scheduler.release(key);
    expect(scheduler.running()).toBe(0);
    scheduler.enqueue(key, 4);
    expect(scheduler.take()).toBe(4);
  }
});

test("the scheduler keeps its limits and loses nothing, whatever comes and goes", () => {
  const keys = ["a", "b", "a 1  one", "a 3  two", "b 1  one"];
  const limitOf = (key: string) => Number(key.split(" ")[1] ?? 100);
  fc.assert(
    fc.property(
      fc.array(fc.record({ does: fc.constantFrom("add", "add", "take", "end", "out"), pick: fc.nat(1000) })),
      (steps) => {
        const scheduler = createScheduler<{ key: string; n: number }>({ slots: 6, perKeyMax: 4 });
        const waiting: { key: string; n: number }[] = [];
        const running: { key: string; n: number }[] = [];
        for (const [n, { does, pick }] of steps.entries()) {
          if (does === "add") {
            const item = { key: keys[pick % keys.length]!, n };
            scheduler.enqueue(item.key, item);
            waiting.push(item);
          } else if (does === "take") {
            const item = scheduler.take();
            if (item === undefined) continue;
            // Of its key it is the one that came first.
            expect(item).toBe(waiting.find((each) => each.key === item.key));
            running.push(...waiting.splice(waiting.indexOf(item), 1));
            expect(running.filter((each) => each.key === item.key).length).toBeLessThanOrEqual(
              limitOf(item.key),
            );
          } else if (does === "end" && running.length > 0) {
            const [item] = running.splice(pick % running.length, 1);
            scheduler.release(item!.key);
          } else if (does === "out" && waiting.length > 0 && running.length === 0) {
            const item = waiting[pick % waiting.length]!;
            expect(scheduler.takeOut(item.key, (each) => each === item)).toBe(item);
            running.push(...waiting.splice(waiting.indexOf(item), 1));
          }
          expect([scheduler.waiting(), scheduler.running()]).toEqual([waiting.length, running.length]);
        }
        for (const item of running) scheduler.release(item.key);
        for (let item = scheduler.take(); item !== undefined; item = scheduler.take()) {
          waiting.splice(waiting.indexOf(item), 1);
          scheduler.release(item.key);
        }
        expect(waiting).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});

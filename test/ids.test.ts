import { afterEach, expect, test, vi } from "vitest";
import { derivedId, executionNodeId, isUuid, newId, parseNodeId, toNodeId } from "../shared/ids.ts";

afterEach(() => void vi.useRealTimers());

test("ids are UUIDs of version 7, all different, and sort as they were made, whatever comes in one millisecond", () => {
  const ids = Array.from({ length: 50_000 }, newId);
  expect(ids.every((id) => isUuid(id) && /^.{14}7.{4}[89ab]/.test(id))).toBe(true);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
});

test("an id says when it was made; a clock that jumps back a little does not make it sort before earlier ones", () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
  const first = newId();
  expect(Number.parseInt(first.replaceAll("-", "").slice(0, 12), 16)).toBe(Date.now());
  vi.setSystemTime(Date.now() - 5_000);
  expect(newId() > first).toBe(true);
  vi.setSystemTime(Date.now() - 3_600_000);
  const later = newId();
  expect(Number.parseInt(later.replaceAll("-", "").slice(0, 12), 16)).toBe(Date.now());
});

test("an execution's node id is what every node id is", () => {
  const id = newId();
  expect(executionNodeId(id)).toBe(toNodeId("InstanceExecutionResult", id));
  expect(parseNodeId(executionNodeId(id))).toEqual({ type: "InstanceExecutionResult", id });
});

test("an id that is derived is the same again, different for another text, and sorts by its time and place", () => {
  const atMs = Date.now();
  const ids = Array.from({ length: 10_000 }, (_, place) => derivedId(atMs, `batch ${place}`, place));
  expect(ids.every((id) => isUuid(id) && /^.{14}7.{4}[89ab]/.test(id))).toBe(true);
  expect(ids.toSorted()).toEqual(ids);
  expect(derivedId(atMs, "batch 7", 7)).toBe(ids[7]);
  expect(derivedId(atMs, "another", 7)).not.toBe(ids[7]);
  expect(derivedId(atMs + 1000, "batch 0") > ids.at(-1)!).toBe(true);
});

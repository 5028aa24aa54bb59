import { afterEach, expect, test, vi } from "vitest";
import { executionNodeId, isUuid, newId, parseNodeId, toNodeId } from "../shared/ids.ts";

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

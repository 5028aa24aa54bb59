/** Planes for the tests of one file: there before the first of them, gone after the last. */
import { afterAll, beforeAll } from "vitest";
import { bootPlanes, type PlaneSettings, type TestPlanes } from "./planes.ts";

export function planesOfFile(settings: PlaneSettings = {}): TestPlanes {
  const planes = {} as TestPlanes;
  beforeAll(async () => {
    Object.assign(planes, await bootPlanes(settings));
  });
  afterAll(() => planes.stop?.());
  return planes;
}

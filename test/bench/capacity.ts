/** How many whole runs a second this machine sustains: accepted, run, and recorded by the control plane. */
import { switchyard } from "./contenders/switchyard.ts";
import type { World } from "./world.ts";

const connections = 64;
const seconds = 4;
const drainMs = 60_000;
/** Where not even this many are sustained, the parts that build on it would wait for single requests. */
const leastPerSecond = 100;

export async function measureCapacity({ data, control, requests, load }: World): Promise<number> {
  const contender = switchyard({
    id: "acceptAndRun",
    name: "",
    plane: data,
    api: control.api,
    requests: requests.body,
  });
  await contender.begin!();
  await contender.warm!();
  const send = (forSeconds: number) => load(data.url, requests.body, connections, forSeconds);
  const sent = await send(seconds);
  const { wholeRunsPerSecond } = await contender.end!({
    connections,
    loads: [sent],
    send,
    isChecked: true,
    drainMs,
  });
  return Math.max(leastPerSecond, wholeRunsPerSecond ?? 0);
}

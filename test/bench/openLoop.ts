/**
 * A sender that keeps to its rate whatever the answers do: a process of its own. What is due while all its
 * connections wait is sent late, and its time counts from when it was due.
 */
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Requests } from "./load.ts";
import { percentileOf } from "./statistics.ts";

export interface OpenLoopPlan extends Requests {
  url: string;
  perSecond: number;
  seconds: number;
  connections: number;
}

interface Answers {
  count: number;
  p50Us: number;
  p99Us: number;
}

export interface OpenLoopResult {
  /** Requests that were due, and that were sent at all. */
  due: number;
  sent: number;
  accepted: Answers;
  /** 503 and 429. */
  refused: Answers;
  /** Answers of any other kind, and connections that broke. */
  other: number;
  /** How long a request waited for a free connection: p99. */
  lateP99Us: number;
}

/** What a run may take beyond its seconds. */
const spareMs = 30_000;
const lastAnswersMs = 5000;

export function sendOpenLoop(plan: OpenLoopPlan): Promise<OpenLoopResult> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, [JSON.stringify(plan)], { stdio: "inherit" });
    const timer = setTimeout(() => child.kill("SIGKILL"), plan.seconds * 1000 + spareMs);
    let result: OpenLoopResult | undefined;
    child.once("message", (message) => {
      result = message as OpenLoopResult;
    });
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      if (result === undefined) reject(new Error(`The open-loop sender ended with ${code ?? signal}.`));
      else resolve(result);
    });
  });
}

function requestsFor({ targetsFile, bodyFile, url }: OpenLoopPlan): Buffer[] {
  const body = readFileSync(bodyFile, "utf8");
  const { host } = new URL(url);
  return readFileSync(targetsFile, "utf8")
    .trimEnd()
    .split("\n")
    .slice(0, 20_000)
    .map((line) => {
      const [path, key, customer = ""] = line.split("\t");
      const own = body.replaceAll("%CUSTOMER%", customer);
      const keyLine = key === "-" ? "" : `Api-Key: ${key}\r\n`;
      return Buffer.from(
        `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${keyLine}Content-Length: ${own.length}\r\n\r\n${own}`,
      );
    });
}

async function send(plan: OpenLoopPlan): Promise<OpenLoopResult> {
  const requests = requestsFor(plan);
  const url = new URL(plan.url);
  const times = { accepted: [] as number[], refused: [] as number[], late: [] as number[] };
  const idle: Socket[] = [];
  const dueAt = new Map<Socket, number>();
  let [sent, other, isOver] = [0, 0, false];
  const due = Math.floor(plan.perSecond * plan.seconds);
  const open = async (): Promise<void> => {
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    let waiting = "";
    socket.on("data", (chunk) => {
      waiting += chunk.toString("latin1");
      const end = waiting.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(waiting)?.[1] ?? 0);
      if (waiting.length < end + 4 + length) return;
      note(socket, Number(waiting.slice(9, 12)));
      waiting = "";
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (dueAt.delete(socket)) other += 1;
      const at = idle.indexOf(socket);
      if (at >= 0) idle.splice(at, 1);
      if (!isOver) setTimeout(() => void open(), 10);
    });
    await new Promise<void>((resolve) => socket.once("connect", resolve).once("close", resolve));
    if (!socket.destroyed) idle.push(socket);
  };
  const note = (socket: Socket, status: number): void => {
    const since = dueAt.get(socket);
    if (since === undefined) return;
    dueAt.delete(socket);
    const us = (performance.now() - since) * 1000;
    if (status === 200) times.accepted.push(us);
    else if (status === 503 || status === 429) times.refused.push(us);
    else other += 1;
    idle.push(socket);
    sendDue();
  };
  let startMs = Number.POSITIVE_INFINITY;
  const sendDue = (): void => {
    const now = performance.now();
    const until = Math.min(due, ((now - startMs) / 1000) * plan.perSecond);
    while (sent < until) {
      const socket = idle.pop();
      if (socket === undefined) return;
      const dueMs = startMs + (sent / plan.perSecond) * 1000;
      dueAt.set(socket, dueMs);
      times.late.push((now - dueMs) * 1000);
      sent += 1;
      socket.write(requests[Math.floor(Math.random() * requests.length)]!);
    }
  };
  for (let index = 0; index < plan.connections; index++) await open();
  startMs = performance.now();
  const timer = setInterval(sendDue, 1);
  await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1000));
  clearInterval(timer);
  // What was due and found no connection in its time stays unsent.
  startMs = Number.POSITIVE_INFINITY;
  const deadline = performance.now() + lastAnswersMs;
  while (dueAt.size > 0 && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 20));
  isOver = true;
  const answers = (values: number[]): Answers => {
    const sorted = values.sort((a, b) => a - b);
    return { count: sorted.length, p50Us: percentileOf(sorted, 50), p99Us: percentileOf(sorted, 99) };
  };
  return {
    due,
    sent,
    accepted: answers(times.accepted),
    refused: answers(times.refused),
    other: other + dueAt.size,
    lateP99Us: answers(times.late).p99Us,
  };
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  const result = await send(JSON.parse(process.argv[2]!) as OpenLoopPlan);
  process.send(result, () => process.exit(0));
}

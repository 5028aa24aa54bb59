/** One row of the table: a server that is measured, round by round. */
import type { LoadResult, Requests } from "../load.ts";
import type { Server } from "../pin.ts";

export type ContenderId =
  | "raw"
  | "accept"
  | "acceptAndRun"
  | "shared"
  | "flow"
  | "fastify"
  | "hono"
  | "synchronous"
  | "nodeRed"
  | "n8n";

export interface Contender extends Requests {
  id: ContenderId;
  /** What the table calls it. */
  name: string;
  url(): string;
  server(): Server;
  /** Before the warm-up of a round. */
  begin?(): Promise<void>;
  /** Between the warm-up and the measured seconds. */
  warm?(): Promise<void>;
  /** After the measured seconds: what a Switchyard adds; it is at rest again when this resolves. */
  end?(round: RoundSoFar): Promise<SwitchyardFigures>;
  stop(): Promise<void>;
}

export interface RoundSoFar {
  connections: number;
  /** The warm-up's and the measured seconds' load. */
  loads: readonly LoadResult[];
  /** More of the same load. */
  send(seconds: number): Promise<LoadResult>;
  /** Whether what was held back is run, too, and counted. */
  isChecked: boolean;
  /** How long to wait for what was accepted to be recorded; what is left then is thrown away. */
  drainMs: number;
}

/** null stands for what was not measured. */
export interface SwitchyardFigures {
  commitsPerSecond: number | null;
  rowsPerCommit: number | null;
  /** Executions that had ended in the control plane's record when the load stopped, a second. */
  endedPerSecond: number | null;
  /** The same over the time until the last one, the load's own included: the rate of whole runs. */
  wholeRunsPerSecond: number | null;
  /** Accepted and not ended in the record when the load stopped. */
  backlog: number | null;
  /** 200s <= recorded <= 200s + connections of each load. */
  count: CountCheck | null;
}

export interface CountCheck {
  answered: number;
  recorded: number;
  /** At most so many may be recorded. */
  most: number;
  holds: boolean;
}

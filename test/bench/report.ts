/** The tables that the terminal shows. */
import { cpus, release } from "node:os";
import type { DiskLatency } from "./disk.ts";
import { loadGenerator } from "./load.ts";
import type { Mark } from "./marks.ts";
import { canPin } from "./pin.ts";
import type { Row } from "./rounds.ts";
import type { Spread } from "./statistics.ts";
import { eachUs, megabytes, ms, orDash, textTable, whole } from "./table.ts";

export interface Machine {
  cpu: string;
  cores: number;
  node: string;
  kernel: string;
  loadGenerator: string;
  isPinned: boolean;
}

export const machine = (): Machine => ({
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  node: process.version,
  kernel: release(),
  loadGenerator,
  isPinned: canPin,
});

export function machineText({ cpu, cores, node, kernel, isPinned }: Machine, disk: DiskLatency): string {
  const pinned = isPinned
    ? "the serving thread on core 0, everything else and the load on core 1"
    : "not pinned (that needs two cores and taskset)";
  return [
    `${cores} × ${cpu}, Linux ${kernel}, Node ${node}; load by ${loadGenerator}; ${pinned}`,
    `disk (${disk.fileSystem}), 4 KB: overwrite with O_DSYNC p50 ${ms(disk.overwriteP50Us)}, p99 ${ms(disk.overwriteP99Us)}; ` +
      `append and fdatasync p50 ${ms(disk.appendP50Us)}, p99 ${ms(disk.appendP99Us)}`,
  ].join("\n");
}

export function rowsText(rows: readonly Row[]): string {
  const connections = [...new Set(rows.map((row) => row.connections))];
  return connections
    .map((count) => {
      const at = rows.filter((row) => row.connections === count);
      const head = `${count} connections`;
      return textTable(
        [
          head,
          "of raw",
          "requests/s",
          "least–most",
          "p50",
          "p99",
          "p99.9",
          "thread",
          "process",
          "busy",
          "memory",
          "bad",
        ],
        at.map(cellsOf),
      );
    })
    .join("\n\n");
}

function cellsOf(row: Row): string[] {
  return [
    row.name,
    orDash(row.ratio, (ratio) => ratio.toFixed(3)),
    `${whole(row.perSecond.median)}${row.isSaturated ? "" : "*"}`,
    range(row.perSecond, whole),
    ms(row.p50Us.median),
    ms(row.p99Us.median),
    ms(row.p999Us.median),
    eachUs(row.threadUs.median),
    eachUs(row.processUs.median),
    `${(row.busy.median * 100).toFixed(0)} %`,
    megabytes(row.rssBytes.median),
    whole(row.bad),
  ];
}

const range = ({ least, most }: Spread, show: (value: number) => string): string =>
  `${show(least)}–${show(most)}`;

export const rowsLegend =
  "Medians of the rounds. thread, process: CPU time a request, of the serving thread and of its whole process.\n" +
  "*: the serving core was less than 95 % busy, so the rate is not the server's limit and does not count.";

export function switchyardText(rows: readonly Row[]): string {
  const own = rows.filter((row) => row.switchyard !== null);
  return textTable(
    [
      "Switchyard",
      "connections",
      "commits/s",
      "rows/commit",
      "ended/s",
      "whole runs/s",
      "backlog",
      "200s ≤ recorded ≤ 200s + c",
    ],
    own.map(({ name, connections, switchyard }) => {
      const { commitsPerSecond, rowsPerCommit, endedPerSecond, wholeRunsPerSecond, backlog, count } =
        switchyard!;
      return [
        name,
        String(connections),
        orDash(commitsPerSecond, whole),
        orDash(rowsPerCommit, (value) => value.toFixed(1)),
        orDash(endedPerSecond, whole),
        orDash(wholeRunsPerSecond, whole),
        orDash(backlog, whole),
        count === null
          ? "–"
          : `${whole(count.answered)} ≤ ${whole(count.recorded)} ≤ ${whole(count.most)} ${count.holds ? "yes" : "NO"}`,
      ];
    }),
  );
}

export function marksText(marks: readonly Mark[]): string {
  return textTable(
    ["mark", "figure", "holds"],
    marks.map(({ text, figure, holds }) => [text, figure, holds]),
  );
}

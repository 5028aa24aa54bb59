/** What a request costs by the size of its body. */
import { startContenders } from "./contenders/standing.ts";
import { writeBody } from "./requests.ts";
import { type Row, rowsOf, runRounds } from "./rounds.ts";
import { megabytes, ms, orDash, textTable, whole } from "./table.ts";
import type { World } from "./world.ts";

export interface SizeFigures {
  bytes: number;
  rows: Row[];
}

const sizes = [1024, 16 * 1024, 256 * 1024, 1024 * 1024];
const connections = 64;

export async function measureSizes(world: World, say: (text: string) => void): Promise<SizeFigures[]> {
  const contenders = await startContenders(world, ["raw", "accept", "fastify"]);
  try {
    const figures: SizeFigures[] = [];
    for (const bytes of sizes) {
      const bodyFile = writeBody(world.folder, bytes);
      const sized = contenders.map((contender) => ({ ...contender, bodyFile }));
      say(`Bodies of ${whole(bytes / 1024)} KB ...`);
      const results = await runRounds(sized, {
        rounds: 2,
        connections: [connections],
        checkedConnections: 0,
        drainSeconds: { checked: 0, usual: 0 },
        secondsMost: 60,
        warmUpSeconds: 1,
        warmUpRequestsOfAccept: 1,
        seconds: 3,
        workFolder: world.folder,
        say: () => {},
      });
      figures.push({ bytes, rows: rowsOf(sized, results) });
    }
    return figures;
  } finally {
    for (const contender of contenders) if (contender.id !== "accept") await contender.stop();
  }
}

export const sizesText = (figures: readonly SizeFigures[]): string =>
  textTable(
    ["Body", "of raw", "requests/s", "bytes/s", "p50", "p99", "thread", "memory"],
    figures.flatMap(({ bytes, rows }) =>
      rows.map((row) => [
        `${whole(bytes / 1024)} KB, ${row.name}`,
        orDash(row.ratio, (ratio) => ratio.toFixed(3)),
        `${whole(row.perSecond.median)}${row.isSaturated ? "" : "*"}`,
        megabytes(row.perSecond.median * bytes),
        ms(row.p50Us.median),
        ms(row.p99Us.median),
        `${row.threadUs.median.toFixed(1)} µs`,
        megabytes(row.rssBytes.median),
      ]),
    ),
  );

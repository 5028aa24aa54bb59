import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below those that systems give to connections: one of them could have taken it before it is used. */
const ports = { least: 10_000, most: 30_000 };

/** A port that nothing listens on now. Who uses it at once has it almost certainly. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(ports.least, ports.most);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(false) : reject(error),
    );
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** The process's side of runProcess.ts: one run thread, whose event loop may stand still while this one turns. */
import type { FromProcess, ToProcess } from "./runProcess.ts";
import type { LastWord } from "./runtime/lastWords.ts";
import { startThread, type Thread, type ThreadOptions } from "./thread.ts";

let thread: Thread | null = null;

const tell = (message: FromProcess) => {
  if (process.connected) process.send!(message);
};

process.on("message", (message: ToProcess) => {
  if (message.kind === "start") start(message.options);
  else thread?.send(message.message);
});
// Its data plane is gone, or done with it.
process.on("disconnect", () => process.exit(0));

function start(options: Omit<ThreadOptions, "onMessage" | "onExit">): void {
  const started = startThread({
    ...options,
    onMessage: (message) => tell({ kind: "from", message }),
    onExit(reason) {
      clearInterval(telling);
      tell({ kind: "exit", reason, ...stateOf(started, started.lastWords()) });
    },
  });
  thread = started;
  let externalBytes = 0;
  const telling = setInterval(() => {
    const hasBeaten = started.hasBeaten();
    const words = hasBeaten ? [] : started.lastWords();
    tell({ kind: "status", hasBeaten, externalBytes, ...stateOf(started, words) });
    void started.externalBytes().then((bytes) => {
      externalBytes = bytes;
    });
  }, options.beatIntervalMs);
}

const stateOf = (of: Thread, words: LastWord[]) => ({ taken: of.taken(), rested: of.rested(), words });

/**
 * Which code and contexts a run thread has: each is sent before the first run that names it, and forgotten when
 * there are too many. Oldest first, whether used or not: sending one again costs a few microseconds.
 */
import type { RunContext } from "./contexts.ts";
import type { RunCode, ToThread } from "./runtime/messages.ts";

export interface ThreadContexts {
  /** The context's number in the thread. */
  numberOf(context: RunContext): number;
}

const codesMax = 1_000;
const contextsMax = 4_000;
const contextCharactersMax = 16 * 1024 * 1024;

export function createThreadContexts(send: (message: ToThread) => void): ThreadContexts {
  const codes = new Map<RunCode, number>();
  const contexts = new Map<RunContext, number>();
  let characters = 0;
  let nextNumber = 1;

  const numberOfCode = (code: RunCode): number => {
    const known = codes.get(code);
    if (known !== undefined) return known;
    const number = nextNumber++;
    codes.set(code, number);
    send({ kind: "code", number, code });
    if (codes.size > codesMax) {
      const [oldest, oldestNumber] = codes.entries().next().value!;
      codes.delete(oldest);
      // Contexts that were made of it hold it themselves.
      send({ kind: "forget", codes: [oldestNumber], contexts: [] });
    }
    return number;
  };

  const makeRoom = () => {
    const forgotten: number[] = [];
    for (const [context, number] of contexts) {
      if (contexts.size <= contextsMax && (characters <= contextCharactersMax || contexts.size === 1)) break;
      contexts.delete(context);
      characters -= context.json.length;
      forgotten.push(number);
    }
    if (forgotten.length > 0) send({ kind: "forget", codes: [], contexts: forgotten });
  };

  return {
    numberOf(context) {
      const known = contexts.get(context);
      if (known !== undefined) return known;
      const number = nextNumber++;
      contexts.set(context, number);
      characters += context.json.length;
      send({ kind: "context", number, code: numberOfCode(context.code), json: context.json });
      makeRoom();
      return number;
    },
  };
}

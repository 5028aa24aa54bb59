/**
 * Which code and contexts a run thread has: each is sent before the first run that names it, and forgotten when
 * there are too many, those first that were not used for the longest time.
 */
import type { RunContext } from "./contexts.ts";
import type { ContextChanges, RunCode, ToThread } from "./runtime/messages.ts";

export interface ThreadContexts {
  /** The context's number in the thread, for a run of the next batch. */
  numberOf(context: RunContext): number;
  /**
   * To be called before each batch: sends what is new to the thread. What is given up while a batch is put together
   * may be named in it, so the thread hears of that with the changes before the next one.
   */
  sendChanges(): void;
}

const codesMax = 1_000;
const contextsMax = 4_000;
const contextCharactersMax = 16 * 1024 * 1024;

export function createThreadContexts(send: (message: ToThread) => void): ThreadContexts {
  const codes = new Map<RunCode, number>();
  const contexts = new Map<RunContext, number>();
  let characters = 0;
  let nextNumber = 1;
  let fresh: Pick<ContextChanges, "codes" | "contexts"> = { codes: [], contexts: [] };
  let forgotten: Pick<ContextChanges, "forgottenCodes" | "forgottenContexts"> = noneForgotten();
  /** What may be named in the batch that is put together now. */
  let given = noneForgotten();

  const numberOfCode = (code: RunCode): number => {
    const known = codes.get(code);
    if (known !== undefined) return known;
    const number = nextNumber++;
    codes.set(code, number);
    fresh.codes.push({ number, code });
    if (codes.size > codesMax) {
      const [oldest, oldestNumber] = codes.entries().next().value!;
      codes.delete(oldest);
      // Contexts that were made of it hold it themselves.
      given.forgottenCodes.push(oldestNumber);
    }
    return number;
  };

  const makeRoom = () => {
    for (const [context, number] of contexts) {
      if (contexts.size <= contextsMax && (characters <= contextCharactersMax || contexts.size === 1)) break;
      contexts.delete(context);
      characters -= context.json.length;
      given.forgottenContexts.push(number);
    }
  };

  return {
    numberOf(context) {
      const known = contexts.get(context);
      if (known !== undefined) {
        contexts.delete(context);
        contexts.set(context, known);
        return known;
      }
      const number = nextNumber++;
      contexts.set(context, number);
      characters += context.json.length;
      fresh.contexts.push({ number, code: numberOfCode(context.code), json: context.json });
      makeRoom();
      return number;
    },
    sendChanges() {
      if (fresh.contexts.length > 0) {
        send({ kind: "contexts", ...forgotten, ...fresh });
        fresh = { codes: [], contexts: [] };
        forgotten = noneForgotten();
      }
      forgotten.forgottenCodes.push(...given.forgottenCodes);
      forgotten.forgottenContexts.push(...given.forgottenContexts);
      given = noneForgotten();
    },
  };
}

const noneForgotten = () => ({ forgottenCodes: [] as number[], forgottenContexts: [] as number[] });

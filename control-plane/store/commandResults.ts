/** What commands give beside their outcome: sealed, read once, by whoever has queued the command. */
import { seal, unseal } from "../../shared/secrets.ts";
import type { Store } from "./store.ts";

const purpose = "commandResult";

export const sealResult = (store: Store, json: string): string => seal(store.masterKey, purpose, json);

/** Null where there is none, or it was read before. */
export function takeCommandResult(store: Store, id: string): Promise<unknown> {
  return store.config.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom("commands")
      .select("sealedResult")
      .where("id", "=", id)
      .executeTakeFirst();
    if (row?.sealedResult == null) return null;
    await transaction.updateTable("commands").set({ sealedResult: null }).where("id", "=", id).execute();
    return JSON.parse(unseal(store.masterKey, purpose, row.sealedResult).toString("utf8")) as unknown;
  });
}

/** Nobody waits for it any more: what a data plane still gives is not kept. */
export async function withdrawCommand(store: Store, id: string): Promise<void> {
  await store.config
    .updateTable("commands")
    .set({ state: "FAILED", error: "Nobody waited for it any longer.", finishedAtMs: Date.now() })
    .where("id", "=", id)
    .where("state", "in", ["QUEUED", "LEASED"])
    .execute();
}

/** Runs a data source for the control plane: its result travels back with the command's outcome. */
import type { Command } from "../shared/commands.ts";
import { type MasterKey, unseal } from "../shared/secrets.ts";
import type { Runner } from "./runs.ts";

export interface DataSourceOptions {
  runner: Pick<Runner, "runDataSource">;
  masterKey: MasterKey;
}

type Payload = Extract<Command, { kind: "RUN_DATA_SOURCE" }>["payload"];

export async function runDataSource(
  { runner, masterKey }: DataSourceOptions,
  { dataSource, digest, inputs, sealedConfigVars, attributes }: Payload,
): Promise<{ error: string | null; result?: string }> {
  const text = unseal(masterKey, "configVars", sealedConfigVars).toString("utf8");
  const configVars = JSON.parse(text) as Record<string, unknown>;
  const work = { dataSource, inputs, configVars, attributes };
  const { error, result } = await runner.runDataSource({ [dataSource.componentKey]: digest }, work);
  return error === null ? { error, result: JSON.stringify(result?.data ?? null) } : { error };
}

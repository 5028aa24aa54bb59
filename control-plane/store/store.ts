/** The control plane's two databases, and what was made when they were new: epoch, pepper, organization. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { Kysely, SqliteDialect, type Transaction } from "kysely";
import { ConfigurationError } from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import {
  type MasterKey,
  newPepper,
  type Pepper,
  seal,
  unseal,
  unwrapPepper,
  wrapPepper,
} from "../../shared/secrets.ts";
import { migrate, openSqlite, type Sqlite } from "../../shared/sqlite.ts";
import { configMigrations, executionMigrations } from "./migrations.ts";
import { openReportWriter, type ReportWriter } from "./reportWriter.ts";
import type { ConfigTables, ExecutionTables } from "./tables.ts";

export type ConfigDatabase = Kysely<ConfigTables>;
export type ConfigTransaction = Transaction<ConfigTables>;
export type ExecutionDatabase = Kysely<ExecutionTables>;

export interface Store {
  config: ConfigDatabase;
  executions: ExecutionDatabase;
  reportWriter: ReportWriter;
  masterKey: MasterKey;
  pepper: Pepper;
  wrappedPepper: string;
  /** Random id of this store: a data plane whose replica has another starts anew. */
  epoch: string;
  organization: { id: string; name: string };
  testCustomerId: string;
  close(): Promise<void>;
}

export const testCustomerExternalId = "testCustomerExternalId";

/** Opens the store in `<dataDir>/control`. Throws `ConfigurationError` where it can't be used. */
export async function openStore(dataDir: string, masterKey: MasterKey): Promise<Store> {
  const configFile = open(join(dataDir, "control", "config.db"), configMigrations);
  const executionsFile = open(
    join(dataDir, "control", "executions.db"),
    executionMigrations,
    executionPageBytes,
  );
  const config = withKysely<ConfigTables>(configFile);
  const executions = withKysely<ExecutionTables>(executionsFile);
  const meta = await loadMeta(config, masterKey);
  const testCustomer = await config
    .selectFrom("customers")
    .select("id")
    .where("isSystem", "=", 1)
    .executeTakeFirstOrThrow();
  const reportWriter = openReportWriter(executionsFile, configFile, testCustomer.id);
  return {
    config,
    executions,
    reportWriter,
    masterKey,
    pepper: unwrapPepper(masterKey, meta.wrappedPepper),
    wrappedPepper: meta.wrappedPepper,
    epoch: meta.epoch,
    organization: { id: meta.organizationId, name: meta.organizationName },
    testCustomerId: testCustomer.id,
    async close() {
      reportWriter.usage.flush();
      await config.destroy();
      await executions.destroy();
    },
  };
}

/** What a webhook's event takes is most of a page of 4 KB: two go into one of 8, for a quarter less work. */
const executionPageBytes = 8192;

function open(file: string, migrations: readonly string[], pageBytes = 4096): Sqlite {
  const database = openSqlite(file, { synchronous: "full", cacheMb: 32, secureDelete: true, pageBytes });
  migrate(database, migrations);
  return database;
}

const withKysely = <Tables>(database: Sqlite): Kysely<Tables> =>
  new Kysely<Tables>({ dialect: new SqliteDialect({ database }) });

type Meta = Record<
  "epoch" | "wrappedPepper" | "masterKeyCheck" | "organizationId" | "organizationName",
  string
>;

async function loadMeta(config: ConfigDatabase, masterKey: MasterKey): Promise<Meta> {
  const rows = await config.selectFrom("meta").selectAll().execute();
  if (rows.length === 0) return createMeta(config, masterKey);
  const meta = Object.fromEntries(rows.map((row) => [row.key, row.value])) as Meta;
  try {
    unseal(masterKey, "masterKeyCheck", meta.masterKeyCheck);
  } catch {
    throw new ConfigurationError(
      "The master key is not the one that this data folder was made with. Set SWITCHYARD_MASTER_KEY to that key, or put its master.key back.",
    );
  }
  return meta;
}

function createMeta(config: ConfigDatabase, masterKey: MasterKey): Promise<Meta> {
  const meta: Meta = {
    epoch: randomUUID(),
    wrappedPepper: wrapPepper(masterKey, newPepper()),
    masterKeyCheck: seal(masterKey, "masterKeyCheck", "ok"),
    organizationId: newId(),
    organizationName: "Switchyard",
  };
  return config.transaction().execute(async (transaction) => {
    const rows = Object.entries({ ...meta, feedVersion: "0" }).map(([key, value]) => ({ key, value }));
    await transaction.insertInto("meta").values(rows).execute();
    const now = Date.now();
    await transaction
      .insertInto("customers")
      .values({
        id: newId(),
        externalId: testCustomerExternalId,
        name: "Test customer",
        description: "Tests of drafts run for this customer.",
        labelsJson: "[]",
        isSystem: 1,
        createdAtMs: now,
        updatedAtMs: now,
      })
      .execute();
    return meta;
  });
}

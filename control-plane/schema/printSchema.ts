/** Writes `schema.graphql`, or compares it with the code: `node control-plane/schema/printSchema.ts [--check]`. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { lexicographicSortSchema, printSchema } from "graphql";
import { schema } from "./index.ts";

export const schemaFile = fileURLToPath(new URL("../../schema.graphql", import.meta.url));

/** The whole schema as text, in an order that does not depend on the order of the code. */
export const printedSchema = (): string => `${printSchema(lexicographicSortSchema(schema))}\n`;

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const printed = printedSchema();
  if (!process.argv.includes("--check")) {
    writeFileSync(schemaFile, printed);
  } else if (readFileSync(schemaFile, "utf8") !== printed) {
    console.error("schema.graphql is not what the code says. Print it anew: npm run schema");
    process.exit(1);
  }
}

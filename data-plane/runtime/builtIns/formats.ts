/** Texts in the formats that steps read and write: each from a text, and to one. */
import { parse as readCsv } from "csv-parse/sync";
import { stringify as writeCsv } from "csv-stringify/sync";
import { XMLBuilder, XMLParser, XMLValidator } from "fast-xml-parser";
import { parse as readYaml, stringify as writeYaml } from "yaml";
import { messageOf } from "../../../shared/errors.ts";
import { textOf } from "./values.ts";

export interface ReadOptions {
  /** Of CSV. */
  hasHeader: boolean;
  /** Of XML. */
  keepsNumbersAsText: boolean;
}

export interface Format {
  name: string;
  /** Throws where the text is something else. */
  read(text: string, options: ReadOptions): unknown;
  write(data: unknown): string;
}

export const formats = {
  JSON: {
    name: "JSON",
    read: (text) => JSON.parse(text),
    write: (data) => JSON.stringify(data) ?? "",
  },
  XML: {
    name: "XML",
    read(text, { keepsNumbersAsText }) {
      // Declared entities are how a small document becomes a huge one.
      if (/<!ENTITY/i.test(text)) throw new Error("it declares entities, which are not read");
      const valid = XMLValidator.validate(text);
      if (valid !== true) throw new Error(valid.err.msg);
      return (keepsNumbersAsText ? textParser : numberParser).parse(text);
    },
    write: (data) => xmlBuilder.build(Array.isArray(data) ? { root: { row: data } } : data),
  },
  CSV: {
    name: "CSV",
    read: (text, { hasHeader }) =>
      readCsv(text, {
        columns: hasHeader,
        bom: true,
        skip_empty_lines: true,
        relax_column_count: true,
      }),
    write(data) {
      const rows = Array.isArray(data) ? data : [data];
      return writeCsv(rows, { header: rows.some((row) => !Array.isArray(row)), columns: columnsOf(rows) });
    },
  },
  YAML: {
    name: "YAML",
    read: (text) => readYaml(text, { maxAliasCount: 100 }),
    write: (data) => writeYaml(data),
  },
} as const satisfies Record<string, Format>;

/** What a text in this format says. What is no text is that already. */
export function readAs(format: Format, given: unknown, options: ReadOptions): unknown {
  if (typeof given === "object" && given !== null && !(given instanceof Uint8Array)) return given;
  try {
    return format.read(textOf(given), options);
  } catch (error) {
    throw new Error(`The input "data" is not ${format.name}: ${messageOf(error)}`, { cause: error });
  }
}

const xmlNames = { ignoreAttributes: false, attributeNamePrefix: "@_", textNodeName: "#text" };
const numberParser = new XMLParser({ ...xmlNames, parseTagValue: true });
const textParser = new XMLParser({ ...xmlNames, parseTagValue: false });
const xmlBuilder = new XMLBuilder({ ...xmlNames, format: false });

/** Of all rows, in the order of their first use: rows need not have the same. Lists have none. */
function columnsOf(rows: unknown[]): string[] | undefined {
  const columns = new Set<string>();
  for (const row of rows)
    if (typeof row === "object" && row !== null && !Array.isArray(row))
      for (const key of Object.keys(row)) columns.add(key);
  return columns.size === 0 ? undefined : [...columns];
}

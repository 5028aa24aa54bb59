import { changeDataFormat as described } from "../../../shared/builtIns/changeDataFormat.ts";
import { type Format, formats, type ReadOptions, readAs } from "./formats.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, flag, isGiven, numberOf, object, parsed, text, textOf } from "./values.ts";

type Params = Record<string, unknown>;

const { JSON: json, XML: xml, CSV: csv, YAML: yaml } = formats;

const optionsOf = (params: Params): ReadOptions => ({
  hasHeader: !isGiven(params["header"]) || flag(params, "header"),
  keepsNumbersAsText: flag(params, "parseNumbersAsStrings"),
});

const reading =
  (format: Format): ActionPerform =>
  (_context, params) => ({ data: readAs(format, params["data"], optionsOf(params)) });

const between =
  (from: Format, to: Format): ActionPerform =>
  (_context, params) => ({ data: to.write(readAs(from, params["data"], optionsOf(params))) });

const writing =
  (format: Format): ActionPerform =>
  (_context, params) => ({ data: format.write(parsed(params["data"])) });

const deserializeFormData: ActionPerform = (_context, params) => {
  const fields = new URLSearchParams(text(params, "data"));
  const entries = [...new Set(fields.keys())].map((name): [string, string | string[]] => {
    const values = fields.getAll(name);
    return [name, values.length === 1 ? values[0]! : values];
  });
  return { data: Object.fromEntries(entries) };
};

const serializeFormData: ActionPerform = (_context, params) => {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(object(params, "data")))
    for (const each of Array.isArray(value) ? value : [value]) fields.append(name, textOf(each));
  return { data: fields.toString() };
};

const no = /^(false|f|no|n|0|null|undefined|)$/i;

const isTrue = (value: unknown): boolean =>
  typeof value === "string" ? !no.test(value.trim()) : Boolean(value);

const toNumber = (params: Params): number => {
  const { value } = params;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (!isGiven(value)) throw new Error(`The input "value" is not a number: ${clip(value)}.`);
  return numberOf(value, "value");
};

export const changeDataFormat = implement(described, {
  actions: {
    csvToJson: between(csv, json),
    csvToXml: between(csv, xml),
    csvToYaml: between(csv, yaml),
    jsonToCsv: between(json, csv),
    jsonToXml: between(json, xml),
    jsonToYaml: between(json, yaml),
    xmlToCsv: between(xml, csv),
    xmlToJson: between(xml, json),
    xmlToYaml: between(xml, yaml),
    yamlToCsv: between(yaml, csv),
    yamlToJson: between(yaml, json),
    yamlToXml: between(yaml, xml),
    deserializeFromCsv: reading(csv),
    deserializeFromJson: reading(json),
    deserializeFromXml: reading(xml),
    deserializeFromYaml: reading(yaml),
    binaryToCsv: writing(csv),
    binaryToJson: writing(json),
    binaryToXml: writing(xml),
    binaryToYaml: writing(yaml),
    deserializeFormData,
    serializeFormData,
    prettyPrint: (_context, params) => ({ data: JSON.stringify(parsed(params["data"]), null, 2) }),
    convertToString: (_context, params) => ({ data: text(params, "value") }),
    convertToNumber: (_context, params) => ({ data: toNumber(params) }),
    convertToInt: (_context, params) => ({ data: Math.trunc(toNumber(params)) }),
    convertToBoolean: (_context, params) => ({ data: isTrue(params["value"]) }),
  },
  triggers: {},
});

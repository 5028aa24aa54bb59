import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const data = { label: "Data", type: "data", required: true } as const satisfies BuiltInInput;
const header = {
  label: "CSV Header",
  type: "boolean",
  default: "true",
  comments: "Whether the first row has the columns' names.",
} as const satisfies BuiltInInput;
const parseNumbersAsStrings = {
  label: "Parse numbers as strings?",
  type: "boolean",
  default: "false",
  comments: "Keeps every digit, as of 007.",
} as const satisfies BuiltInInput;
const value = { label: "Value", type: "data" } as const satisfies BuiltInInput;

const inputsOf = {
  CSV: { data, header },
  JSON: { data },
  XML: { data, parseNumbersAsStrings },
  YAML: { data },
};
type Format = keyof typeof inputsOf;

const between = (from: Format, to: Format): BuiltInAction => ({
  label: `${from} to ${to}`,
  description: `${to} of what ${from} says.`,
  inputs: inputsOf[from],
});
const reading = (format: Format): BuiltInAction => ({
  label: `Deserialize ${format}`,
  description: `What ${format} says, for later steps to refer to.`,
  inputs: inputsOf[format],
});
const writing = (format: Format): BuiltInAction => ({
  label: `JavaScript Object to ${format}`,
  description: `${format} of a step's results.`,
  inputs: { data },
});
const converting = (to: string): BuiltInAction => ({
  label: `Convert To ${to}`,
  description: `A value as ${to.toLowerCase()}.`,
  inputs: { value },
});

export const changeDataFormat = describeBuiltIn({
  key: "change-data-format",
  label: "Change Data Format",
  description: "Reads and writes JSON, XML, CSV and YAML.",
  category: "Helpers",
  actions: {
    csvToJson: between("CSV", "JSON"),
    csvToXml: between("CSV", "XML"),
    csvToYaml: between("CSV", "YAML"),
    jsonToCsv: between("JSON", "CSV"),
    jsonToXml: between("JSON", "XML"),
    jsonToYaml: between("JSON", "YAML"),
    xmlToCsv: between("XML", "CSV"),
    xmlToJson: between("XML", "JSON"),
    xmlToYaml: between("XML", "YAML"),
    yamlToCsv: between("YAML", "CSV"),
    yamlToJson: between("YAML", "JSON"),
    yamlToXml: between("YAML", "XML"),
    deserializeFromCsv: reading("CSV"),
    deserializeFromJson: reading("JSON"),
    deserializeFromXml: reading("XML"),
    deserializeFromYaml: reading("YAML"),
    binaryToCsv: writing("CSV"),
    binaryToJson: writing("JSON"),
    binaryToXml: writing("XML"),
    binaryToYaml: writing("YAML"),
    deserializeFormData: {
      label: "Deserialize URL-encoded Form Data",
      description: "The fields of a form; one that is there more than once is a list.",
      inputs: { data },
    },
    serializeFormData: {
      label: "Serialize URL-encoded Form Data",
      description: "An object's members as the fields of a form.",
      inputs: { data },
    },
    prettyPrint: {
      label: "Pretty Print",
      description: "JSON with line breaks, for people.",
      inputs: { data },
    },
    convertToString: converting("String"),
    convertToNumber: converting("Number"),
    convertToInt: converting("Integer"),
    convertToBoolean: converting("Boolean"),
  },
  triggers: {},
});

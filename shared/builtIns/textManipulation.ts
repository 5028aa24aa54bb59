import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const text = { label: "Text", type: "text", required: true } as const satisfies BuiltInInput;
const separator = { label: "Separator", type: "string" } as const satisfies BuiltInInput;

const ofText = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: { text },
});

export const textManipulation = describeBuiltIn({
  key: "text-manipulation",
  label: "Text Manipulation",
  description: "Changes, splits and joins texts.",
  category: "Helpers",
  actions: {
    upperCase: ofText("Upper Case", "The text in upper case."),
    lowerCase: ofText("Lower Case", "The text in lower case."),
    trim: ofText("Remove Whitespace", "The text without white space at its ends."),
    stringLength: ofText("String Length", "How many characters the text has."),
    htmlEncode: ofText("HTML Encode", "The text with what HTML would read as markup written out."),
    htmlDecode: ofText("HTML Decode", "The reverse of HTML Encode; numeric references, too."),
    encodeBase64: ofText("Encode Base64", "A text, or the bytes of a file, as Base64."),
    decodeBase64: {
      label: "Decode Base64",
      description: "The text that a Base64 text stands for.",
      inputs: { text: { ...text, label: "Base64 Text" } },
    },
    slice: {
      label: "Extract Substring",
      description: "The part of the text between two places; negative ones count from its end.",
      inputs: {
        text,
        sliceStart: { label: "Slice Start", type: "string", default: "0" },
        sliceStop: { label: "Slice Stop", type: "string" },
      },
    },
    replace: {
      label: "Find & Replace",
      description: "Replaces all occurrences of a text by another.",
      inputs: {
        text,
        find: {
          label: "Find",
          type: "string",
          required: true,
          comments: "A text, or a regular expression between slashes.",
        },
        replace: { label: "Replace", type: "string" },
      },
    },
    split: {
      label: "Split String",
      description: "The parts of a text between separators.",
      inputs: { text, separator },
    },
    splitLines: {
      label: "Split Lines",
      description: "The lines of a text.",
      inputs: { text, filterBlankLines: { label: "Filter Blank Lines", type: "boolean", default: "true" } },
    },
    join: {
      label: "Join",
      description: "One text of many.",
      inputs: { strings: { label: "Strings", type: "string", collection: "valuelist" }, separator },
    },
    match: {
      label: "Match Regex",
      description: "What of the text a regular expression matches; null where it does not.",
      inputs: {
        text,
        regex: { label: "Regex", type: "string", required: true },
        regexFlags: { label: "Regex Flags", type: "string", default: "g" },
      },
    },
  },
  triggers: {},
});

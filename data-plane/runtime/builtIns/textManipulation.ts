import { textManipulation as described } from "../../../shared/builtIns/textManipulation.ts";
import { messageOf } from "../../../shared/errors.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, flag, list, optionalNumber, requiredText, text, textOf } from "./values.ts";

const ofText =
  (change: (text: string) => unknown): ActionPerform =>
  (_context, params) => ({ data: change(text(params, "text")) });

const encodeBase64: ActionPerform = (_context, params) => {
  const { text: value } = params;
  const bytes = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(textOf(value));
  return { data: bytes.toString("base64") };
};

const replace: ActionPerform = (_context, params) => {
  const find = requiredText(params, "find");
  const expression = /^\/(.+)\/([a-z]*)$/s.exec(find);
  const pattern =
    expression === null ? find : regex(expression[1]!, [...new Set(`${expression[2]}g`)].join(""));
  const by = text(params, "replace");
  // A text stands for itself; in a regular expression's place $1 and the like mean its groups.
  return { data: text(params, "text").replaceAll(pattern, expression === null ? () => by : (by as never)) };
};

const match: ActionPerform = (_context, params) => {
  const found = text(params, "text").match(regex(requiredText(params, "regex"), text(params, "regexFlags")));
  return { data: found === null ? null : [...found] };
};

function regex(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, flags);
  } catch (error) {
    throw new Error(`${clip(source)} is not a regular expression: ${messageOf(error)}`, { cause: error });
  }
}

const slice: ActionPerform = (_context, params) => ({
  data: text(params, "text").slice(optionalNumber(params, "sliceStart"), optionalNumber(params, "sliceStop")),
});

const splitLines: ActionPerform = (_context, params) => {
  const lines = text(params, "text").split(/\r\n|\n|\r/);
  return { data: flag(params, "filterBlankLines") ? lines.filter((line) => line.trim() !== "") : lines };
};

const marks: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const named: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

const htmlDecode = (html: string): string =>
  html.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return Object.hasOwn(named, name) ? named[name]! : whole;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

export const textManipulation = implement(described, {
  actions: {
    upperCase: ofText((value) => value.toUpperCase()),
    lowerCase: ofText((value) => value.toLowerCase()),
    trim: ofText((value) => value.trim()),
    stringLength: ofText((value) => value.length),
    htmlEncode: ofText((value) => value.replace(/[&<>"']/g, (mark) => marks[mark]!)),
    htmlDecode: ofText(htmlDecode),
    encodeBase64,
    decodeBase64: ofText((value) => Buffer.from(value, "base64").toString("utf8")),
    slice,
    replace,
    split: (_context, params) => ({ data: text(params, "text").split(text(params, "separator")) }),
    splitLines,
    join: (_context, params) => ({
      data: list(params, "strings").map(textOf).join(text(params, "separator")),
    }),
    match,
  },
  triggers: {},
});

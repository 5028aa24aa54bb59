/**
 * A request's body as its Content-Type says: what flow code gets as `payload.body.data`, and what references
 * select from. Used by the ingress (small bodies), the parse thread (large ones) and the runtime.
 */
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { messageOf } from "../shared/errors.ts";

export type ParsedBody = { ok: true; data: unknown; contentType: string } | { ok: false; message: string };

/** A file of a multipart body. */
export interface MultipartFile {
  filename: string;
  contentType: string;
  data: Buffer;
}

/**
 * Deeper nesting is refused: no real webhook comes near it, and everything that walks a body by recursion
 * (JSON.stringify, msgpack, flow code) would overflow its stack at some depth.
 */
export const nestingMax = 1000;
const formFieldsMax = 10_000;
const multipartPartsMax = 1000;

/** The media type in lower case, without parameters. */
export const mediaTypeOf = (contentType: string): string => {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
};

export type BodyKind = "json" | "xml" | "form" | "multipart" | "text" | "unnamed" | "binary";

export function bodyKind(mediaType: string): BodyKind {
  if (mediaType === "application/json" || mediaType.endsWith("+json") || mediaType === "text/json")
    return "json";
  if (mediaType === "") return "unnamed";
  if (mediaType === "application/xml" || mediaType === "text/xml" || mediaType.endsWith("+xml")) return "xml";
  if (mediaType === "application/x-www-form-urlencoded") return "form";
  if (mediaType === "multipart/form-data") return "multipart";
  if (mediaType.startsWith("text/")) return "text";
  return "binary";
}

/** An empty body has the data null, whatever its type. Never throws; a promise only for multipart bodies. */
export function parseBody(bytes: Buffer, contentType: string): ParsedBody | Promise<ParsedBody> {
  if (bytes.length === 0) return { ok: true, data: null, contentType };
  try {
    switch (bodyKind(mediaTypeOf(contentType))) {
      case "json":
        return parseJson(bytes, contentType);
      case "xml":
        return parseXml(bytes, contentType);
      case "form":
        return parseForm(bytes, contentType);
      case "multipart":
        return parseMultipart(bytes, contentType);
      case "text":
        return { ok: true, data: decodeText(bytes, contentType, false), contentType };
      case "unnamed":
        return parseUnnamed(bytes);
      case "binary":
        return { ok: true, data: bytes, contentType };
    }
  } catch (error) {
    return { ok: false, message: messageOf(error) };
  }
}

function parseJson(bytes: Buffer, contentType: string): ParsedBody {
  const text = decodeText(bytes, contentType, true);
  if (nestsTooDeep(text))
    return { ok: false, message: `The JSON is nested deeper than ${nestingMax} levels.` };
  return { ok: true, data: JSON.parse(text), contentType };
}

/** No Content-Type: JSON where it is JSON, else text where it is UTF-8, else bytes. Never refused. */
function parseUnnamed(bytes: Buffer): ParsedBody {
  let text: string;
  try {
    text = decodeText(bytes, "", true);
  } catch {
    return { ok: true, data: bytes, contentType: "" };
  }
  if (nestsTooDeep(text)) return { ok: true, data: text, contentType: "" };
  try {
    return { ok: true, data: JSON.parse(text), contentType: "" };
  } catch {
    return { ok: true, data: text, contentType: "" };
  }
}

/** Counts brackets outside of strings: one pass, no recursion. Short texts can't be too deep. */
function nestsTooDeep(text: string): boolean {
  if (text.length <= nestingMax) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = stringEnd(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > nestingMax) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
    }
  }
  return false;
}

function stringEnd(text: string, open: number): number {
  let at = open + 1;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at++;
    else if (code === 0x22) break;
  }
  return at;
}

const xmlParser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@_",
  textNodeName: "#text",
  // Values stay text: identifiers such as "007" or "1e5" keep every digit.
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: true,
});

function parseXml(bytes: Buffer, contentType: string): ParsedBody {
  const text = decodeText(bytes, contentType, true);
  // Declared entities are how a small document becomes a huge one; no webhook needs them.
  if (/<!ENTITY/i.test(text)) return { ok: false, message: "XML that declares entities is not accepted." };
  const valid = XMLValidator.validate(text);
  if (valid !== true) return { ok: false, message: `The XML is malformed: ${valid.err.msg}` };
  return { ok: true, data: xmlParser.parse(text), contentType };
}

function parseForm(bytes: Buffer, contentType: string): ParsedBody {
  const fields = new Map<string, string | string[]>();
  let count = 0;
  for (const [name, value] of new URLSearchParams(bytes.toString("utf8"))) {
    if (++count > formFieldsMax)
      return { ok: false, message: `The form has more than ${formFieldsMax} fields.` };
    addField(fields, name, value);
  }
  return { ok: true, data: Object.fromEntries(fields), contentType };
}

function addField<T>(fields: Map<string, T | T[]>, name: string, value: T): void {
  const before = fields.get(name);
  if (before === undefined) fields.set(name, value);
  else if (Array.isArray(before)) before.push(value);
  else fields.set(name, [before, value]);
}

function parseMultipart(bytes: Buffer, contentType: string): Promise<ParsedBody> {
  return new Promise((resolve) => {
    const fields = new Map<string, string | MultipartFile | (string | MultipartFile)[]>();
    const refuse = (message: string) => resolve({ ok: false, message });
    let busboy: BusboyInstance;
    try {
      busboy = new Busboy({
        headers: { "content-type": contentType },
        limits: {
          parts: multipartPartsMax,
          fieldSize: bytes.length,
          fileSize: bytes.length,
          headerPairs: 100,
        },
      });
    } catch (error) {
      return refuse(messageOf(error));
    }
    busboy.on("field", (name, value) => addField(fields, name, value));
    busboy.on("file", (name, stream, filename, _encoding, fileType) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", (error) => refuse(messageOf(error)));
      stream.on("end", () =>
        addField(fields, name, {
          filename: filename ?? "",
          contentType: fileType,
          data: Buffer.concat(chunks),
        }),
      );
    });
    busboy.on("partsLimit", () => refuse(`The multipart body has more than ${multipartPartsMax} parts.`));
    busboy.on("error", (error) => refuse(messageOf(error)));
    busboy.on("finish", () => resolve({ ok: true, data: Object.fromEntries(fields), contentType }));
    busboy.end(bytes);
  });
}

const utf8 = new TextDecoder("utf-8");
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Decodes by the Content-Type's charset, UTF-8 by default. Throws for an unknown charset, and for wrong bytes if `strict`. */
function decodeText(bytes: Buffer, contentType: string, strict: boolean): string {
  if (!contentType.includes(";")) return (strict ? strictUtf8 : utf8).decode(bytes);
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1]?.toLowerCase() ?? "utf-8";
  if (charset === "utf-8" || charset === "utf8") return (strict ? strictUtf8 : utf8).decode(bytes);
  return new TextDecoder(charset, { fatal: strict }).decode(bytes);
}

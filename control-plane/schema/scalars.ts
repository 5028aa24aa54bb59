/** The scalars beyond GraphQL's own. */
import { GraphQLError } from "graphql";
import { isUuid } from "../../shared/ids.ts";
import { builder } from "./builder.ts";

builder.scalarType("DateTime", {
  description: "A moment, as an ISO 8601 text with its time zone.",
  serialize: (value) => new Date(value).toISOString(),
  parseValue: (value) => {
    const date = typeof value === "string" || typeof value === "number" ? new Date(value) : null;
    if (date === null || Number.isNaN(date.getTime())) {
      throw new GraphQLError("A DateTime must be an ISO 8601 text.");
    }
    return date;
  },
});

builder.scalarType("Date", {
  description: "A day, as an ISO 8601 text.",
  serialize: (value) => value,
  parseValue: (value) => {
    const day = typeof value === "string" ? value.slice(0, "2026-01-01".length) : "";
    if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || Number.isNaN(Date.parse(day)))
      throw new GraphQLError("A Date must be an ISO 8601 text, like 2026-01-31.");
    return day;
  },
});

builder.scalarType("JSON", {
  description: "Any JSON value.",
  serialize: (value) => value,
  parseValue: (value) => value,
});

builder.scalarType("JSONString", {
  description: "Any JSON value, written as JSON inside a string.",
  serialize: (value) => JSON.stringify(value),
  parseValue: (value) => {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value) as unknown;
    } catch {
      throw new GraphQLError("A JSONString must be JSON inside a string.");
    }
  },
});

builder.scalarType("UUID", {
  description: "A UUID in its usual text form, lower case.",
  serialize: (value) => value,
  parseValue: (value) => {
    const text = typeof value === "string" ? value.toLowerCase() : "";
    if (!isUuid(text)) throw new GraphQLError("A UUID must look like 01890a5d-ac96-774b-bcce-b302099a8057.");
    return text;
  },
});

export const MediaType = builder.enumType("MediaType", {
  description: "What an uploaded file is for.",
  values: {
    AVATAR: { value: "AVATAR", description: "The icon of an integration or of the organization." },
  } as const,
});

export const SortDirection = builder.enumType("OrderDirection", {
  description: "Which end comes first.",
  values: {
    ASC: { value: "asc", description: "The smallest or oldest first." },
    DESC: { value: "desc", description: "The largest or newest first." },
  } as const,
});

import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const request = {
  url: { label: "URL", type: "string", required: true },
  connection: {
    label: "Connection",
    type: "connection",
    comments: "Of a token, a user name, or an API key.",
  },
  headers: { label: "Headers", type: "string", collection: "keyvaluelist" },
  queryParams: { label: "Query Parameters", type: "string", collection: "keyvaluelist" },
  responseType: {
    label: "Response Type",
    type: "string",
    default: "json",
    choices: ["json", "text", "binary"],
  },
  timeout: { label: "Timeout", type: "string", comments: "In milliseconds, for each try." },
  maxRetries: { label: "Max Retry Count", type: "string", default: "0", comments: "At most 10." },
  retryDelayMS: { label: "Retry Delay (ms)", type: "string", default: "0" },
  useExponentialBackoff: {
    label: "Use Exponential Backoff",
    type: "boolean",
    default: "false",
    comments: "The delay doubles with each try.",
  },
  retryOnAllErrors: {
    label: "Retry On All Errors",
    type: "boolean",
    default: "false",
    comments: "Not only where the server failed or could not be reached.",
  },
  includeFullResponse: {
    label: "Include Full Response",
    type: "boolean",
    default: "false",
    comments: "Gives status and headers, too.",
  },
  debugRequest: { label: "Debug Request", type: "boolean", default: "false", comments: "Logs each request." },
  ignoreSslErrors: {
    label: "Ignore SSL Errors",
    type: "boolean",
    default: "false",
    comments: "Refused: trust the server's certificate authority instead.",
  },
} as const satisfies Record<string, BuiltInInput>;

const data = {
  data: { label: "Data", type: "data", comments: "A text as it is; a list or an object as JSON." },
} as const satisfies Record<string, BuiltInInput>;

const action = (label: string, description: string, inputs: BuiltInAction["inputs"]): BuiltInAction => ({
  label,
  description,
  inputs,
});

export const http = describeBuiltIn({
  key: "http",
  label: "HTTP",
  description: "Calls other systems over HTTP.",
  category: "Helpers",
  actions: {
    httpGet: action("GET Request", "Sends a GET request.", request),
    httpPost: action("POST Request", "Sends a POST request.", { ...request, ...data }),
    httpPut: action("PUT Request", "Sends a PUT request.", { ...request, ...data }),
    httpPatch: action("PATCH Request", "Sends a PATCH request.", { ...request, ...data }),
    httpDelete: action("DELETE Request", "Sends a DELETE request.", { ...request, ...data }),
    httpHead: action("HEAD Request", "Sends a HEAD request; gives status and headers.", request),
    httpRequest: action("HTTP Request", "Sends a request with a method that is an input.", {
      ...request,
      ...data,
      method: { label: "Method", type: "string", required: true, default: "GET" },
    }),
  },
  triggers: {},
});

/** What the starter prints: addresses, and curl lines that can be pasted. */
import type { Example, SampleRequest } from "./examples.ts";

export function addressLines(urls: { control: string; ingress: string; dataDir: string }): string[] {
  return [
    "Switchyard is running.",
    "",
    `  GraphQL    ${urls.control}/api   (open it in a browser for GraphiQL)`,
    `  Webhooks   ${urls.ingress}/trigger/...`,
    `  Data       ${urls.dataDir}`,
  ];
}

/** `urlOf` gives the webhook URL of the sample request at that position of the example. */
export function exampleLines(example: Example, urlOf: (position: number) => string | undefined): string[] {
  const lines = ["", `${example.name}: ${example.about}`];
  let lastUrl: string | undefined;
  example.requests.forEach((sample, position) => {
    const url = urlOf(position);
    if (url === undefined) return;
    if (url !== lastUrl) lines.push(`  ${url}`);
    lastUrl = url;
    lines.push("", `  # ${sample.about}`, `  ${curlLine(url, sample)}`);
  });
  return lines;
}

export function curlLine(url: string, sample: Pick<SampleRequest, "headers" | "body">): string {
  const headers = { "Content-Type": "application/json", ...sample.headers };
  const flags = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  return `curl ${quoted(url)} ${flags.join(" ")} -d ${quoted(JSON.stringify(sample.body))}`;
}

/** Single quotes for a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

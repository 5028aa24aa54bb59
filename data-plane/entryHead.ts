/**
 * What the main thread needs of an entry's meta. Most of a meta is the request, which only the run thread needs, so
 * it is not parsed here: that is most of what an entry would cost this thread.
 */
import type { EntryMeta } from "./journal/entry.ts";

export interface EntryHead extends Omit<EntryMeta, "route" | "request"> {
  /** The same text for all entries of a flow of an instance. */
  routeJson: string;
  receivedAtMs: number;
}

/** Marks of the text that `JSON.stringify` makes of an `EntryMeta`: in JSON texts quotes are escaped. */
const requestMark = ',"request":{';
const routeMark = ',"route":';
const receivedMark = '"receivedAtMs":';

export function readHead(metaJson: string): EntryHead {
  const requestAt = metaJson.indexOf(requestMark);
  const receivedAt = requestAt < 0 ? -1 : metaJson.indexOf(receivedMark, requestAt);
  const routeAt = metaJson.indexOf(routeMark);
  if (receivedAt < 0 || routeAt < 0 || routeAt > requestAt) return parseHead(metaJson);
  const head = JSON.parse(`${metaJson.slice(0, routeAt)}}`) as EntryHead;
  // Members in another order: what stands after the route is not a part of it.
  if (head.isWaiting === undefined || head.invokedBy === undefined) return parseHead(metaJson);
  head.routeJson = metaJson.slice(routeAt + routeMark.length, requestAt);
  head.receivedAtMs = readWhole(metaJson, receivedAt + receivedMark.length);
  return head;
}

function parseHead(metaJson: string): EntryHead {
  const { route, request, ...head } = JSON.parse(metaJson) as EntryMeta;
  return { ...head, routeJson: JSON.stringify(route), receivedAtMs: request.receivedAtMs };
}

function readWhole(text: string, at: number): number {
  let value = 0;
  for (let digit = text.charCodeAt(at) - 0x30; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - 0x30)
    value = value * 10 + digit;
  return value;
}

/**
 * Loaded with `--import` before a plane and its ingress threads: what is left of a TypeScript module without its types
 * is kept, by its content. Otherwise Node takes the types away anew in every process and thread, and loads a compiler
 * for it: a control plane's start took 1.25 s of CPU time and takes 0.9.
 */
import { hash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { registerHooks, stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { threadId } from "node:worker_threads";

/** Emptied with each install. */
const folder = join(import.meta.dirname, "..", "node_modules", ".switchyard-stripped", process.version);

registerHooks({
  load(url, context, nextLoad) {
    if (!url.startsWith("file:") || !url.endsWith(".ts")) return nextLoad(url, context);
    return {
      format: "module",
      source: stripped(readFileSync(fileURLToPath(url), "utf8")),
      shortCircuit: true,
    };
  },
});

function stripped(typed) {
  const file = join(folder, `${hash("sha256", typed)}.js`);
  try {
    return readFileSync(file, "utf8");
  } catch {
    const plain = stripTypeScriptTypes(typed);
    keep(file, plain);
    return plain;
  }
}

/** Whole or not at all, even where the power goes. Where it can't be written, only time is lost. */
function keep(file, text) {
  const unfinished = `${file}.${process.pid}.${threadId}`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(unfinished, text, { flush: true });
    renameSync(unfinished, file);
  } catch {}
}

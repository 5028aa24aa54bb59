// node autocannonLoad.mjs <url> <connections> <seconds> <targets file> <body file>: load.lua's work where
// there is no wrk. It costs more CPU a request than most servers do, so it seldom fills a server's core.
import { readFileSync, writeFileSync } from "node:fs";
import autocannon from "autocannon";

const [url, connections, seconds, targetsFile, bodyFile] = process.argv.slice(2);
const targets = readFileSync(targetsFile, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => line.split("\t"));
const body = readFileSync(bodyFile, "utf8");
const hasCustomer = body.includes("%CUSTOMER%");

const result = await autocannon({
  url,
  connections: Number(connections),
  duration: Number(seconds),
  timeout: 30,
  requests: [
    {
      method: "POST",
      setupRequest(request) {
        const [path, key, customer] = targets[Math.floor(Math.random() * targets.length)];
        const headers = { "content-type": "application/json", ...(key === "-" ? {} : { "api-key": key }) };
        return {
          ...request,
          path,
          headers,
          body: hasCustomer ? body.replaceAll("%CUSTOMER%", customer) : body,
        };
      },
    },
  ],
});

const { latency } = result;
writeFileSync(
  process.env.SWITCHYARD_BENCH_LOAD_RESULT,
  JSON.stringify({
    requests: result.requests.total,
    seconds: result.duration,
    p50Us: latency.p50 * 1000,
    p99Us: latency.p99 * 1000,
    p999Us: latency.p99_9 * 1000,
    mostUs: latency.max * 1000,
    notOk: result.non2xx,
    failed: result.errors,
    timedOut: result.timeouts,
  }),
);

// Loaded into every thread of a data plane that is measured: gives it the name of its Worker, so that the
// ingress thread is found in /proc. (Node names its threads for debuggers only.)
const { isMainThread, threadName } = require("node:worker_threads");

if (!isMainThread && threadName) {
  require("node:fs").writeFileSync("/proc/thread-self/comm", threadName.slice(0, 15));
}

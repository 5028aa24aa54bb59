// The limit: uWebSockets.js that reads the body and gives a constant answer.
import uWS from "uWebSockets.js";

const answer =
  '{"executionId":"SW5zdGFuY2VFeGVjdXRpb25SZXN1bHQ6MDAwMDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw"}';
let bytes = 0;

uWS
  .App()
  .any("/*", (res) => {
    res.onAborted(() => {});
    res.onData((chunk, isLast) => {
      bytes += chunk.byteLength;
      if (!isLast) return;
      res.cork(() => {
        res.writeStatus("200 OK").writeHeader("content-type", "application/json").end(answer);
      });
    });
  })
  .listen("127.0.0.1", 0, (socket) => {
    console.log(`listening on http://127.0.0.1:${uWS.us_socket_local_port(socket)}`);
  });

process.on("SIGTERM", () => process.exit(bytes >= 0 ? 0 : 1));

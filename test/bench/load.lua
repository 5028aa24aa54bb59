-- wrk -s load.lua URL -- <targets file> <body file>
-- A target is a line "path<TAB>key<TAB>customer"; "-" is nothing. Each request takes one at random.
local heads, tail, count = {}, "", 0
local random = math.random

function init(args)
  math.randomseed(os.time())
  local file = assert(io.open(args[2], "rb"))
  local body = file:read("*a")
  file:close()
  local before, after = body:match("^(.-)%%CUSTOMER%%(.*)$")
  for line in io.lines(args[1]) do
    local path, key, customer = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)$")
    local length = before and #before + #customer + #after or #body
    local head = "POST " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nContent-Type: application/json\r\n"
    if key ~= "-" then head = head .. "Api-Key: " .. key .. "\r\n" end
    head = head .. "Content-Length: " .. length .. "\r\n\r\n"
    count = count + 1
    heads[count] = before and head .. before .. customer or head
  end
  tail = before and after or body
end

function request()
  return heads[random(count)] .. tail
end


function done(summary, latency, requests)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("SWITCHYARD_BENCH_LOAD_RESULT"), "w"))
  file:write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50Us":%d,"p99Us":%d,"p999Us":%d,"mostUs":%d,'
      .. '"notOk":%d,"failed":%d,"timedOut":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
  file:close()
end

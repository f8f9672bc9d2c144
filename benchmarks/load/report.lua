-- Makes wrk send a scenario's requests and print its summary as JSON, times in microseconds.
-- Arguments: bytes of a request's body (0: a GET), number of routes to go round (1: the path of the URL).
-- However many routes there are, the paths are as many, so that what is remembered of paths helps all alike.

function init(args)
   local upload, routes = tonumber(args[1]), tonumber(args[2])
   if upload > 0 then
      wrk.method, wrk.body = "POST", string.rep("x", upload)
   end
   if routes > 1 then
      go_round(routes)
   end
end

local PATHS = 10000

-- Only then is a function called for each request; it looks up a text that was made before.
function go_round(routes)
   local requests, last = {}, 0
   for each = 0, PATHS - 1 do
      local path = string.format("/r%d/hello%d", each % routes, math.floor(each / routes))
      requests[each + 1] = wrk.format("GET", path)
   end
   request = function()
      last = last % PATHS + 1
      return requests[last]
   end
end

done = function(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "errors": %d}\n',
      summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end

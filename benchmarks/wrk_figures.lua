-- Arguments: the method, how many requests a connection sends at once, the body (may be empty).
function init(arguments)
  wrk.method = arguments[1]
  if arguments[3] ~= "" then wrk.body = arguments[3] end
  local depth = tonumber(arguments[2])
  if depth > 1 then
    local format = wrk.format
    wrk.format = function() return string.rep(format(), depth) end
  end
end

-- What wrk has counted, as one line of JSON behind a mark that nothing else prints: the histogram as it is,
-- in microseconds. The harness makes figures of it.
function done(summary, latency, requests)
  local errors = summary.errors
  local values = {}
  for i = 1, #latency do
    local value, count = latency(i)
    values[i] = string.format("[%d, %d]", value, count)
  end
  io.write(string.format(
    'COUNTED {"requests": %d, "runtime_us": %d, "refused": %d, "broken": %d, "timed_out": %d, "latency": [%s]}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, table.concat(values, ", ")))
end

-- What wrk has counted, as one line of JSON behind a mark that nothing else prints.
function done(summary, latency, requests)
  local over = 0
  for i = 1, #latency do
    local value, count = latency(i)
    if value > 100000 then over = over + count end
  end
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, ' ..
    '"max_ms": %.3f, "over_100_ms": %d, "failed": %d, "timed_out": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000,
    latency.max / 1000, over,
    errors.connect + errors.read + errors.write + errors.status, errors.timeout))
end

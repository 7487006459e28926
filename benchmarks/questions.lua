-- What wrk asks a server, and how it reports: one line of JSON. Arguments: whom it asks (neo or datasette), what, a seed.
-- Questions about approaches are drawn at random, so hardly one is asked twice.

local whom, what
local prebuilt = { upcoming = 0, yearly = 0, snapshot = 0 }
local paths = {
  neo = { upcoming = "/v1/upcoming", yearly = "/v1/yearly-approaches", snapshot = "/v1/snapshot" },
  datasette = { upcoming = "/neo/upcoming.json", yearly = "/neo/yearly.json", snapshot = "/neo/snapshot.json" },
}
local names = { "upcoming", "yearly", "snapshot" }

function init(args)
  whom, what = args[1], args[2]
  math.randomseed(tonumber(args[3]))
end

-- Within a month or a year, to Earth, nearer than a distance; the nearest first, or in the order of time.
local function window()
  local year, month = math.random(1920, 2180), math.random(1, 11)
  local first = string.format("%d-%02d-%02d", year, month, math.random(1, 28))
  local last = string.format("%d-%02d-%02d", year, month + 1, math.random(1, 28))
  if math.random(2) == 1 then last = string.format("%d-%02d-28", year + 1, month) end
  local au = math.random(50, 2000) / 10000
  local nearest = math.random(2) == 1
  if whom == "neo" then
    return string.format("/v1/close-approaches?body=Earth&date-min=%s&date-max=%s&dist-max=%.4f%s",
      first, last, au, nearest and "&sort=dist" or "")
  end
  return string.format("/neo/approaches.json?_shape=arrays&orbiting_body=Earth&close_approach_date__gte=%s"
    .. "&close_approach_date__lte=%s&miss_distance_au__lte=%.4f&_sort=%s",
    first, last, au, nearest and "miss_distance_au" or "close_approach_at")
end

-- Over all times, nearer than a distance; the fastest first.
local function everywhere()
  local au = math.random(100, 50000) / 1000000
  if whom == "neo" then
    return string.format("/v1/close-approaches?body=Earth&dist-max=%.6f&sort=-v-rel", au)
  end
  return string.format("/neo/approaches.json?_shape=arrays&orbiting_body=Earth&miss_distance_au__lte=%.6f"
    .. "&_sort_desc=relative_velocity_km_s", au)
end

function request()
  local path
  if prebuilt[what] then path = paths[whom][what]
  elseif what == "window" then path = window()
  elseif what == "everywhere" then path = everywhere()
  elseif math.random(20) == 1 then path = window()
  else path = paths[whom][names[math.random(3)]] end
  return wrk.format("GET", path)
end

function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end

-- Log one metric after the other, and count the answers.
-- wrk -s statuses.lua URL -- BODYFILE RUNSFILE AUTHORIZATION
--
-- Prints how many were answered, how many were refused with Retry-After (429 or
-- 503), how many got any other answer, and how many got none.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("number", #threads)
end

local function content(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  answered, refused, other, counter = 0, 0, 0, 0
  local runs = {}
  for name in content(args[2]):gmatch("%S+") do runs[#runs + 1] = name end
  body = content(args[1]):gsub("@RUN@", runs[number % #runs + 1])
  wrk.headers["Authorization"] = args[3]
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  counter = counter + 1
  local sent = body:gsub("@COUNTER@", string.format("%d%09d", number, counter))
  return wrk.format("POST", "/api/2.0/mlflow/runs/log-metric", nil, sent)
end

function response(status, headers)
  if status == 200 then
    answered = answered + 1
  elseif (status == 429 or status == 503) and (headers["Retry-After"] or headers["retry-after"]) then
    refused = refused + 1
  else
    other = other + 1
  end
end

function done(summary)
  local total = { answered = 0, refused = 0, other = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(total) do total[name] = total[name] + thread:get(name) end
  end
  local e = summary.errors
  print(string.format("STATUSES %d %d %d %d", total.answered, total.refused, total.other,
    e.connect + e.read + e.write + e.timeout))
end

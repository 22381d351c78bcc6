-- Unique requests of one kind.
-- wrk -s requests.lua URL -- SEED METHOD PATH BODYFILE RUNSFILE HEADER...
--
-- In the path: @COUNTER@ is a unique number, @SLOT@ one of a thousand, in turn.
-- In the body: @COUNTER@; @RUN@ is a run of this connection; 16 zeros are
-- replaced by a trace's ID. In both: @ANY@ is a word of the runs' file, another
-- one each time. Prints requests, errors, seconds and the 95th percentile of the
-- latency in seconds.

local threads = 0
local all = {}

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function content(path)
  if path == "-" then return nil end
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  counter = tonumber(args[1]) + number * 100000
  method, path = args[2], args[3]
  body = content(args[4])
  math.randomseed(counter)
  local runs = content(args[5])
  if runs then
    for name in runs:gmatch("%S+") do all[#all + 1] = name end
    if body then body = body:gsub("@RUN@", all[number % #all + 1]) end
  end
  choosing = (path .. (body or "")):find("@ANY@", 1, true)
  for i = 6, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
end

function request()
  counter = counter + 1
  local new = string.format("%016d", counter)
  local here = path:gsub("@COUNTER@", new):gsub("@SLOT@", counter % 1000)
  local sent = body
  if body then
    sent = body:gsub("@COUNTER@", new):gsub("0000000000000000", new)
  end
  if choosing then
    local any = all[math.random(#all)]
    here = here:gsub("@ANY@", any)
    sent = sent and sent:gsub("@ANY@", any)
  end
  return wrk.format(method, here, nil, sent)
end

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %d %d %.6f %.6f", summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout,
    summary.duration / 1000000, latency:percentile(95) / 1000000))
end

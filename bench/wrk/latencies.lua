-- As requests.lua, and how long each request took: seconds, a line for each, in
-- took.NUMBER beside this file. One connection for each thread.

local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "requests.lua")

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]]
local CLOCK_MONOTONIC, moment = 1, ffi.new("moment")

local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

local prepare, build, sent = init, request, 0

function init(args)
  prepare(args)
  file = assert(io.open(folder .. "took." .. number, "w"))
end

function request()
  local text = build()
  sent = now()
  return text
end

function response()
  file:write(string.format("%.6f\n", now() - sent))
end

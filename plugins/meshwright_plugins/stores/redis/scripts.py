"""What Redis does in one step for this store, in Lua; each script has one key, so that a cluster can run it."""

from __future__ import annotations

from hashlib import sha1

from meshwright_plugins.stores.redis.resp import pack
from meshwright_sdk.limits import WINDOW_PARTS


class Script:
    """A script that servers know by its hash once it is loaded."""

    __slots__ = ("_heads", "load")

    def __init__(self, source: str) -> None:
        self.load = pack(b"SCRIPT", b"LOAD", source.encode())
        digest = sha1(source.encode(), usedforsecurity=False).hexdigest().encode()
        # What comes before the key, by the number of arguments.
        self._heads = [b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % (4 + count, digest) for count in range(6)]

    def limit(self, key: bytes, limit: bytes, amount: bytes, partly: bytes) -> bytes:
        """Return the command that takes from a limit, whose two arguments are packed already."""
        tail = b"$%d\r\n%b\r\n$1\r\n%b\r\n" % (len(amount), amount, partly)
        return b"%b$%d\r\n%b\r\n%b%b" % (self._heads[4], len(key), key, limit, tail)

    def call(self, key: bytes, *arguments: bytes) -> bytes:
        """Return the command that runs it; up to five arguments."""
        words = [b"$%d\r\n%b\r\n" % (len(word), word) for word in (key, *arguments)]
        return self._heads[len(arguments)] + b"".join(words)


_NOW = "local t = redis.call('TIME')\nlocal now = t[1] * 1000000 + t[2]\n"
"""The time of the server in microseconds: gateways need not agree about theirs."""

# Level and time are kept as two doubles, so that nothing is lost by rounding. Rates come in tokens a microsecond.
BUCKET = Script(
    _NOW
    + """
local rate, burst, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local level = burst
local kept = redis.call('GET', KEYS[1])
if kept then
  local before, at = struct.unpack('<dd', kept)
  level = math.min(burst, before + math.max(0, now - at) * rate)
end
local granted = amount
if level + 1e-9 < amount then
  granted = ARGV[4] == '1' and math.floor(level + 1e-9) or 0
end
if granted > 0 then
  level = math.max(0, level - granted)
  local ends = math.min(math.ceil((burst - level) / rate / 1000) + 1, 1e13)
  redis.call('SET', KEYS[1], struct.pack('<dd', level, now), 'PX', string.format('%.0f', ends))
end
return {granted, string.format('%.17g', level)}
"""
)

# A list of (time of the last taking, how many ever up to then), as SlidingWindow of the SDK keeps it. The first note
# says how many are over.
WINDOW = Script(
    _NOW
    + f"""
local limit, window, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local key, parts = KEYS[1], {WINDOW_PARTS}
local gone, total, last = 0, 0, 0
local first = redis.call('LINDEX', key, 0)
if first then
  local _
  _, gone = struct.unpack('<dd', first)
  local note = redis.call('LINDEX', key, 1)
  while note do
    local time, count = struct.unpack('<dd', note)
    if time > now - window then break end
    gone = count
    redis.call('LPOP', key)
    note = redis.call('LINDEX', key, 1)
  end
  last, total = struct.unpack('<dd', redis.call('LINDEX', key, -1))
end
local free = math.max(0, limit - (total - gone))
local granted = amount
if amount > free then granted = ARGV[4] == '1' and free or 0 end
if granted > 0 then
  if not first then redis.call('RPUSH', key, struct.pack('<dd', now, 0)) end
  local part = window / parts
  local joins = limit > parts and total > gone and math.floor(last / part) == math.floor(now / part)
  total = total + granted
  if joins then redis.call('LSET', key, -1, struct.pack('<dd', now, total))
  else redis.call('RPUSH', key, struct.pack('<dd', now, total)) end
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(window / 1000) + 1))
  last = now
end
local wait = 0
if granted < amount then
  local wanted = total + (ARGV[4] == '1' and 1 or amount) - limit
  for _, each in ipairs(redis.call('LRANGE', key, 1, -1)) do
    local time, count = struct.unpack('<dd', each)
    if count >= wanted then wait = time + window - now break end
  end
end
return {{granted, free - granted, string.format('%.0f', wait), string.format('%.0f', math.max(0, last + window - now))}}
"""
)

# Numbers of Lua are doubles: a counter is read as its digits.
INCREMENT = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('INCRBY', KEYS[1], ARGV[1])
  return redis.call('GET', KEYS[1])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
""")

SWAP = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) else redis.call('SET', KEYS[1], ARGV[2]) end
return 1
""")

ACQUIRE = Script("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

RELEASE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

SCRIPTS = (BUCKET, WINDOW, INCREMENT, SWAP, ACQUIRE, RELEASE)

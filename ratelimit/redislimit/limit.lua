-- Decides about requests, one after the other, each in whole.
--
-- ARGV[1] has them packed, big-endian: an operation (0 take, 1 look, 2 refund, 3 repay:
-- count what was admitted elsewhere, whatever the limits) and a number of checks; each
-- check is, of a refund, when it was counted (8 bytes, microseconds), or of what is
-- repaid, how long ago that was, then flags (1 shadow), its cost (4) and a number of windows; each
-- window is N (4) and its length in seconds (4). KEYS has a key for each check, in
-- order. ARGV[2] is added to the server's time; only tests set it.
--
-- A key's value is packed too: a number of log entries (2) and the entries (8 each,
-- microseconds, oldest first), which serve all exact windows: as many as they need, or
-- EXACT beside large windows, so that any exact window can follow. Then for each large
-- window its length in seconds (4), a number of steps (2), how much had been admitted
-- before the first of them (6), and the steps, oldest first: which one (6), and how
-- much had been admitted up to its end (6).
--
-- The answer is packed as well: for each request whether it is allowed (1); for each
-- check of a take or a look the same (1) and its time (8); for each window what is left
-- (4), when there is more and when what was asked for is there (8 each, microseconds from
-- then).
local EXACT, STEPS = 100, 32
local list, call = unpack, redis.call
local unpack, pack, sub, floor, ceil, max, min = struct.unpack, struct.pack, string.sub, math.floor, math.ceil, math.max, math.min
local t = call('TIME')
local clock = t[1] * 1000000 + t[2] + ARGV[2]
local now = clock -- of the check that is looked at, see below
local arg, pos, k = ARGV[1], 1, 0
local values, written = call('MGET', list(KEYS)), {} -- written replaces what was read
local answer, a = {}, 0

-- first is the position in the log of the first entry after the time. There are N
-- at most, or as many as matter.
local function first(v, n, N, after)
	local low, high = max(1, n - N + 1), n + 1
	if unpack('>I8', v, 3 + (low - 1) * 8) > after then return low end
	low = low + 1
	while low < high do
		local mid = floor((low + high) / 2)
		if unpack('>I8', v, 3 + (mid - 1) * 8) > after then high = mid else low = mid + 1 end
	end
	return low
end

-- sections finds the parts of large windows in a value.
local function sections(v, n)
	local found, at = {}, 3 + n * 8
	while at <= #v do
		local per, m, base = unpack('>I4I2I6', v, at)
		found[per] = { at = at + 12, m = m, base = base }
		at = at + 12 + m * 12
	end
	return found
end

-- replace puts what is known better in the place of as many of the newest. Both are
-- lists of the latest time that something can be of, and how much it is.
local function replace(known, better)
	local replaced = 0
	for _, b in ipairs(better) do replaced = replaced + b[2] end
	while #known > 0 and replaced > 0 do
		local out = min(replaced, known[#known][2])
		known[#known][2], replaced = known[#known][2] - out, replaced - out
		if known[#known][2] == 0 then known[#known] = nil end
	end
	for _, b in ipairs(better) do known[#known + 1] = b end
end

-- history is what is known to have been admitted, oldest first. Longer windows reach
-- further back; of the newest, shorter ones know better when they were, and the log
-- does best.
local function history(v, n, large)
	local pers, known, logged = {}, {}, {}
	for per in pairs(large) do pers[#pers + 1] = per end
	table.sort(pers, function(a, b) return a > b end)
	for _, per in ipairs(pers) do
		local s, span, theirs = large[per], per * 1000000, {}
		local before = s.base
		for j = 0, s.m - 1 do
			local which, sum = unpack('>I6I6', v, s.at + j * 12)
			local ends = (which + 1) * (span / STEPS)
			if ends > now - span then theirs[#theirs + 1] = { min(ends - 1, now), sum - before } end
			before = sum
		end
		replace(known, theirs)
	end
	for i = 1, n do logged[i] = { unpack('>I8', v, 3 + (i - 1) * 8), 1 } end
	replace(known, logged)
	return known
end

-- seed is the section of a large window that hasn't been counted in, made of what was
-- counted in others.
local function seed(v, n, large, per)
	local span, steps, last, sum = per * 1000000, {}, -1, 0
	for _, u in ipairs(history(v, n, large)) do
		if u[1] > now - span then
			local which = floor(u[1] / (span / STEPS))
			if which ~= last then steps[#steps + 1] = '' end
			last, sum = which, sum + u[2]
			steps[#steps] = pack('>I6I6', which, sum)
		end
	end
	return pack('>I4I2I6', per, #steps, 0) .. table.concat(steps)
end

-- weigh tells where a window stands: what is used, when there is more, when what
-- was asked for is there; and of a large window what is needed to count in it.
local function weigh(v, n, large, N, per, cost)
	local span = per * 1000000
	if N <= EXACT then
		if n == 0 then return 0, 0, cost > N and span or 0 end
		local i = first(v, n, N, now - span)
		local used = n - i + 1
		local reset, retry = 0, 0
		if used > 0 then reset = unpack('>I8', v, 3 + (i - 1) * 8) + span - now end
		local over = used + cost - N
		if over > used then retry = span
		elseif over > 0 then retry = unpack('>I8', v, 3 + (i + over - 2) * 8) + span - now end
		return used, reset, retry
	end
	local step, s = span / STEPS, large and large[per]
	if not s then return 0, 0, cost > N and span or 0, { skip = 0, base = 0, total = 0, m = 0 } end
	-- Steps that have left the window are skipped; they are few, as each write drops
	-- them.
	local skip, base, which, sum = 0, s.base, 0, s.base
	while skip < s.m do
		which, sum = unpack('>I6I6', v, s.at + skip * 12)
		if (which + 1) * step > now - span then break end
		skip, base = skip + 1, sum
	end
	local window = { skip = skip, base = base, total = base, m = s.m, at = s.at }
	if skip == s.m then return 0, 0, cost > N and span or 0, window end
	local reset, retry = (which + 1) * step + span - now, 0
	window.last, window.total = unpack('>I6I6', v, s.at + (s.m - 1) * 12)
	local used = window.total - base
	local over = used + cost - N
	if over > used then retry = span
	elseif over > 0 then
		for j = skip, s.m - 1 do
			which, sum = unpack('>I6I6', v, s.at + j * 12)
			if sum - base >= over then
				retry = (which + 1) * step + span - now
				break
			end
		end
	end
	return used, reset, retry, window
end

-- counted is a large window's section with the cost added.
local function counted(v, per, window, cost)
	local present, m, from, to = floor(now / (per * 1000000 / STEPS)), window.m - window.skip, 1, 0
	if m > 0 then
		from, to = window.at + window.skip * 12, window.at + window.m * 12 - 1
		if window.last >= present then present, m, to = window.last, m - 1, to - 12 end
	end
	return pack('>I4I2I6', per, m + 1, window.base) .. sub(v, from, to) .. pack('>I6I6', present, window.total + cost)
end

-- refund takes what was counted at a time out of a value again.
local function refund(v, windows, cost, at)
	local n = unpack('>H', v)
	local log, large = sub(v, 3, 2 + n * 8), sections(v, n)
	local out = {}
	for w = 1, #windows, 2 do
		local N, per = windows[w], windows[w + 1]
		local s = large[per]
		if N > EXACT and s then
			local which = floor(at / (per * 1000000 / STEPS))
			local parts, seen = { pack('>I4I2I6', per, s.m, s.base) }, false
			for j = 0, s.m - 1 do
				local i, sum = unpack('>I6I6', v, s.at + j * 12)
				seen = seen or i == which
				if seen then sum = max(s.base, sum - cost) end
				parts[j + 2] = pack('>I6I6', i, sum)
			end
			out[#out + 1] = table.concat(parts)
		end
	end
	for i = n, 1, -1 do
		if cost > 0 and unpack('>I8', log, 1 + (i - 1) * 8) == at then
			log = sub(log, 1, (i - 1) * 8) .. sub(log, i * 8 + 1)
			cost = cost - 1
		end
	end
	return pack('>H', #log / 8) .. log .. table.concat(out)
end

-- steps is a large window's section with the cost added in the step of a time.
local function steps(v, per, s, cost, at)
	local which, before, seen = floor(at / (per * 1000000 / STEPS)), s.base, false
	local parts, m = {}, s.m
	for j = 0, s.m - 1 do
		local i, sum = unpack('>I6I6', v, s.at + j * 12)
		if not seen and i > which then
			parts[#parts + 1] = pack('>I6I6', which, before + cost)
			m = m + 1
		end
		seen, before = seen or i >= which, sum
		parts[#parts + 1] = pack('>I6I6', i, seen and sum + cost or sum)
	end
	if not seen then
		parts[#parts + 1] = pack('>I6I6', which, before + cost)
		m = m + 1
	end
	return pack('>I4I2I6', per, m, s.base) .. table.concat(parts)
end

-- repay counts in a value what was admitted at a time.
local function repay(v, windows, cost, at)
	local n, keep, parts = unpack('>H', v), 0, ''
	local large = sections(v, n)
	for w = 1, #windows, 2 do
		local N, per = windows[w], windows[w + 1]
		if N <= EXACT then keep = max(keep, N)
		else keep, parts = EXACT, parts .. steps(v, per, large[per] or { base = 0, m = 0 }, cost, at) end
	end
	local place = n
	while place > 0 and unpack('>I8', v, 3 + (place - 1) * 8) > at do place = place - 1 end
	local log = sub(v, 3, 2 + place * 8) .. string.rep(pack('>I8', at), math.min(cost, keep)) .. sub(v, 3 + place * 8, 2 + n * 8)
	log = sub(log, max(1, #log - keep * 8 + 1))
	return pack('>H', #log / 8) .. log .. parts
end

-- What is known of the checks of one request, and of their windows one after the
-- other; the tables are used again for the next.
local key, value, logs, costs, shadow, ok, ats, count = {}, {}, {}, {}, {}, {}, {}, {}
local Ns, pers, used, resets, retries, larges = {}, {}, {}, {}, {}, {}

local function write(name, new, ttl)
	written[name] = new
	call('SET', name, new, 'PX', ttl)
end

-- lifetime is how long a key is kept, in milliseconds, whose longest window is of so
-- many seconds.
local function lifetime(longest) return ceil(longest * 1000 * (1 + 1 / STEPS)) end

-- take counts a check's windows, which begin behind w.
local function take(c, w)
	now = ats[c]
	local keep, longest, parts, n = 0, 0, '', 0
	for i = w + 1, w + count[c] do
		local N, per = Ns[i], pers[i]
		used[i] = used[i] + costs[c]
		if resets[i] == 0 then
			resets[i] = per * 1000000
			if N > EXACT then resets[i] = resets[i] + resets[i] / STEPS end
		end
		if per > longest then longest = per end
		if N > EXACT then
			keep, parts = EXACT, parts .. counted(value[c], per, larges[i], costs[c])
		elseif N > keep then keep = N end
	end
	local new = min(keep, costs[c])
	n = logs[c] + new
	local log = sub(value[c], 3, 2 + logs[c] * 8) .. (new == 1 and pack('>I8', now) or string.rep(pack('>I8', now), new))
	if n > keep then
		log = sub(log, (n - keep) * 8 + 1)
		n = keep
	end
	write(key[c], pack('>H', n) .. log .. parts, lifetime(longest))
end

while pos <= #arg do
	local op, checks
	op, checks, pos = unpack('BB', arg, pos)
	local allowed, w = true, 0
	for c = 1, checks do
		k = k + 1
		if op >= 2 then ats[c], pos = unpack('>I8', arg, pos) end
		local flags, cost, windows
		flags, cost, windows, pos = unpack('>BI4B', arg, pos)
		local name = KEYS[k]
		local v = written[name] or values[k] or '\0\0'
		local n = unpack('>H', v)
		-- The clock may have stepped back; a key's time never does.
		now = n > 0 and max(clock, (unpack('>I8', v, 3 + (n - 1) * 8))) or clock
		if op < 2 then ats[c] = now end
		if op == 3 then ats[c] = clock - ats[c] end
		local large
		if #v > 2 + n * 8 then large = sections(v, n) end
		key[c], logs[c], costs[c], shadow[c], count[c], ok[c] = name, n, cost, flags == 1, windows, true
		for i = w + 1, w + windows do
			Ns[i], pers[i], pos = unpack('>I4I4', arg, pos)
			if op < 2 then
				if Ns[i] > EXACT and #v > 2 and not (large and large[pers[i]]) then
					v = v .. seed(v, n, large or {}, pers[i])
					large = sections(v, n)
				end
				used[i], resets[i], retries[i], larges[i] = weigh(v, n, large, Ns[i], pers[i], cost)
				if used[i] + cost > Ns[i] then ok[c] = false end
			end
		end
		value[c] = v
		w = w + windows
		allowed = allowed and (ok[c] or shadow[c])
	end
	w = 0
	answer[a + 1] = allowed and '\1' or '\0'
	a = a + 1
	for c = 1, checks do
		if op >= 2 then
			local ttl, longest, windows = call('PTTL', key[c]), 0, {}
			for i = 1, count[c] do
				windows[2 * i - 1], windows[2 * i], longest = Ns[w + i], pers[w + i], max(longest, pers[w + i])
			end
			local v = written[key[c]] or value[c] -- another check of the request may have the key too
			if op == 3 then write(key[c], repay(v, windows, costs[c], ats[c]), max(ttl, lifetime(longest)))
			elseif ttl > 0 then write(key[c], refund(v, windows, costs[c], ats[c]), ttl) end
		else
			if op == 0 and allowed and ok[c] then take(c, w) end
			answer[a + 1] = (ok[c] and '\1' or '\0') .. pack('>I8', ats[c])
			a = a + 1
			for i = w + 1, w + count[c] do
				answer[a + 1] = pack('>I4I8I8', max(0, Ns[i] - used[i]), ceil(resets[i]), ceil(retries[i]))
				a = a + 1
			end
		end
		w = w + count[c]
	end
end
return table.concat(answer)

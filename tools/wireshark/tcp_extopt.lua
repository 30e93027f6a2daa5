-- The TCP options of selftests/bpf/progs/extopt_*.c, for Wireshark and tshark.
--
--   tshark -X lua_script:tools/wireshark/tcp_extopt.lua -r FILE -Y extopt
--
-- A tree of its own below each segment that has one; fields to filter by and to print
-- (-T fields -e) are extopt.name and those of the options. The table of formats is in
-- selftests/bpf/progs/extopt.h. To see an option of yours, add it to OPTIONS.

local extopt = Proto("extopt", "TCP extension options")

local f = extopt.fields
f.name = ProtoField.string("extopt.name", "Option")
f.kind = ProtoField.uint8("extopt.kind", "Kind")
f.length = ProtoField.uint8("extopt.length", "Length")
f.exid = ProtoField.uint16("extopt.exid", "ExID", base.HEX)
f.value = ProtoField.bytes("extopt.value", "Value")
f.uto = ProtoField.uint32("extopt.uto.seconds", "User timeout", base.UNIT_STRING, {" s"})
f.cc = ProtoField.string("extopt.cc.name", "Congestion control")
f.iw = ProtoField.uint16("extopt.iw.segments", "Initial window",
	base.UNIT_STRING, {" segment", " segments"})
f.delack_segs = ProtoField.uint8("extopt.delack.segments", "Segments to an ACK")
f.delack_rtt = ProtoField.uint8("extopt.delack.rtt_16th", "Longest delay",
	base.UNIT_STRING, {"/16 RTT"})
f.toa_port = ProtoField.uint16("extopt.toa.port", "Client's port")
f.toa_ipv4 = ProtoField.ipv4("extopt.toa.ipv4", "Client's address")
f.toa_ipv6 = ProtoField.ipv6("extopt.toa.ipv6", "Client's address")

local e = extopt.experts
e.bad = ProtoExpert.new("extopt.bad", "No value of this option",
	expert.group.MALFORMED, expert.severity.WARN)

-- Each returns whether the value, of len bytes from at on, is one. on: "SYN", where
-- clients ask, "SYN-ACK", where no value is the answer, understood, or neither.

local function uto(tree, tvb, at, len)
	if len ~= 2 then return false end
	local v = tvb(at, 2):uint()
	local seconds = v >= 0x8000 and (v - 0x8000) * 60 or v
	tree:add(f.uto, tvb(at, 2), seconds)
	return seconds > 0
end

local function cc(tree, tvb, at, len, on)
	if on == "SYN-ACK" and len == 0 then return true end
	if len < 1 or len > 12 then return false end
	tree:add(f.cc, tvb(at, len))
	return on == "SYN" and not tvb:raw(at, len):find("%z")
end

local function iw(tree, tvb, at, len, on)
	if on == "SYN-ACK" and len == 0 then return true end
	if len ~= 2 then return false end
	local v = tvb(at, 2):uint()
	tree:add(f.iw, tvb(at, 2))
	return on == "SYN" and v > 0 and v < 0x1000
end

local function delack(tree, tvb, at, len)
	if len ~= 2 then return false end
	tree:add(f.delack_segs, tvb(at, 1))
	tree:add(f.delack_rtt, tvb(at + 1, 1))
	return tvb(at + 1, 1):uint() <= 16
end

local function toa(tree, tvb, at, len)
	if len ~= 6 and len ~= 18 then return false end
	tree:add(f.toa_port, tvb(at, 2))
	if len == 6 then
		tree:add(f.toa_ipv4, tvb(at + 2, 4))
		if tvb(at + 2, 1):uint() == 0 then return false end
	else
		tree:add(f.toa_ipv6, tvb(at + 2, 16))
		if not tvb:raw(at + 2, 16):find("%Z") then return false end
	end
	return tvb(at, 2):uint() > 0
end

-- With an ExID: one family only
local function toa4(tree, tvb, at, len)
	return len == 6 and toa(tree, tvb, at, len)
end

local function toa6(tree, tvb, at, len)
	return len == 18 and toa(tree, tvb, at, len)
end

-- Kind 254 without an ExID of ours: has the modules' layout, and is not another's ExID,
-- of those seen in the wild (IANA's list: Fast Open, SMC).
local function raw254(tvb, at, len)
	if len ~= 8 and len ~= 20 then return false end
	return tvb(at + 2, 2):uint() ~= 0xf989 and tvb(at + 2, 4):uint() ~= 0xe2d4c3d9
end

-- By kind, and for those that have one by ExID; exid 0 is what has none that is known.
local OPTIONS = {
	[28] = { [0] = { "uto", uto } },
	[200] = { [0] = { "toa200", toa } },
	[254] = {
		[0] = { "toa254", toa },
		[0xeb02] = { "cc", cc },
		[0xeb03] = { "iw", iw },
		[0xeb04] = { "delack", delack },
		[0xeb05] = { "toa4", toa4 },
		[0xeb06] = { "toa6", toa6 },
	},
}

local function option(tree, tvb, at, kind, len, on)
	local of_kind = OPTIONS[kind]
	if not of_kind then return end
	local exid = len >= 4 and tvb(at + 2, 2):uint() or 0
	local known = of_kind[exid]
	local head = 2
	if known and exid ~= 0 then
		head = 4
	else
		if kind == 254 and not raw254(tvb, at, len) then return end
		known = of_kind[0]
	end
	local t = tree:add(extopt, tvb(at, len), "TCP extension option: " .. known[1])
	t:add(f.name, tvb(at, len), known[1])
	t:add(f.kind, tvb(at, 1))
	t:add(f.length, tvb(at + 1, 1))
	if head == 4 then t:add(f.exid, tvb(at + 2, 2)) end
	if len > head then t:add(f.value, tvb(at + head, len - head)) end
	if not known[2](t, tvb, at + head, len - head, on) then
		t:add_proto_expert_info(e.bad)
	end
end

local tcp_options = Field.new("tcp.options")
local tcp_flags = Field.new("tcp.flags")

-- Of the TCP header with these options. A frame may have more than one, TCP in TCP, and
-- not all have options: the flags are eight bytes before the options.
local function segment_of(options)
	for _, flags in ipairs({ tcp_flags() }) do
		if flags.offset + 8 == options.offset then
			local syn = flags.value % 0x04 >= 0x02
			local ack = flags.value % 0x20 >= 0x10
			return syn and (ack and "SYN-ACK" or "SYN")
		end
	end
end

function extopt.dissector(tvb, pinfo, tree)
	for _, field in ipairs({ tcp_options() }) do
		local options = field.range:tvb()
		local on = segment_of(field)
		local at = 0
		while at < options:len() do
			local kind = options(at, 1):uint()
			if kind == 0 then break end
			if kind == 1 then
				at = at + 1
			else
				if at + 2 > options:len() then break end
				local len = options(at + 1, 1):uint()
				if len < 2 or at + len > options:len() then break end
				option(tree, options, at, kind, len, on)
				at = at + len
			end
		end
	end
end

register_postdissector(extopt)

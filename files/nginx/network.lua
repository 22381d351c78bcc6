        -- The client: an IPv4 address, or the /64 network of an IPv6 address, as text.
        local function network(address)
            local head, tail = string.match(address, "^([%x:]*)::([%x:.]*)$")
            if not string.find(address, ":", 1, true) then
                return address
            end
            local groups = {}
            for group in string.gmatch(head or address, "%x+") do
                groups[#groups + 1] = group
            end
            local behind = select(2, string.gsub(tail or "", "[^:]+", ""))
            while head and #groups < 8 - behind do
                groups[#groups + 1] = "0"
            end
            for group in string.gmatch(tail or "", "[^:]+") do
                groups[#groups + 1] = group
            end
            return table.concat(groups, ":", 1, 4)
        end

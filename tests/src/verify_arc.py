"""Reads a message; prints the state of its ARC chain, then number, domain and cv= of each set, the newest first. The argument is the DNS server."""
import sys

import dkim
import dns.resolver

address, port = sys.argv[1].rsplit(":", 1)
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = [address], int(port)


def txt(name, timeout=5):
    """The text of a TXT record, empty where there is none."""
    try:
        answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return b""
    return b"".join(answer[0].strings)


state, sets, reason = dkim.arc_verify(sys.stdin.buffer.read(), dnsfunc=txt)
print(state.decode() if state else "ended", reason)
for one in sets:
    valid = "valid" if one["ams-valid"] and one["as-valid"] else "invalid"
    print(one["instance"], one["as-domain"].decode(), one["cv"].decode(), valid)

"""Argument: address of the DNS server. Reads a JSON object a line with client, helo and sender; prints the SPF result and the names of the
client that lead back to it."""
import json
import sys

import dns.resolver
import dns.reversename

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [sys.argv[1]]
dns.resolver.default_resolver = resolver

import spf


def look(name, kind):
    try:
        return list(resolver.resolve(name, kind))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


for line in sys.stdin:
    asked = json.loads(line)
    client = asked["client"]
    pointers = look(dns.reversename.from_address(client), "PTR")
    names = [record.target.to_text(omit_final_dot=True) for record in pointers]
    confirmed = [name for name in names if client in [record.address for record in look(name, "A")]]
    result = spf.check2(i=client, s=asked["sender"], h=asked["helo"])[0]
    print(json.dumps({"spf": result, "names": confirmed}), flush=True)

"""What programs that take mail away do, by Python's poplib. Arguments: the ports of pop3 and pop3s. Removes the first of two messages."""

import poplib
import ssl
import sys

plain, secure = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

# STLS first: a password in clear must not work.
first = poplib.POP3("127.0.0.1", plain)
assert {"STLS", "TOP", "UIDL", "PIPELINING"} <= set(first.capa()), first.capa()
try:
    first.user("alice@example.test")
    raise SystemExit("USER was taken without TLS")
except poplib.error_proto as error:
    assert b"TLS" in error.args[0], error
first.stls(context)
first.user("alice@example.test")
first.pass_("quickstart")
count, octets = first.stat()
assert count == 2, (count, octets)
_, listed, _ = first.list()
assert sum(int(line.split()[1]) for line in listed) == octets, listed
_, names, _ = first.uidl()
_, top, _ = first.top(2, 0)
assert b"Subject: two" in top and b".two" not in top, top
for number in (1, 2):
    _, lines, _ = first.retr(number)
    assert lines[-1] == (b".one", b".two")[number - 1], lines
first.dele(1)
first.rset()
first.quit()

second = poplib.POP3_SSL("127.0.0.1", secure, context=context)
second.user("alice@example.test")
second.pass_("quickstart")
assert second.uidl()[1] == names, "names stay"
second.dele(1)
second.quit()

third = poplib.POP3_SSL("127.0.0.1", secure, context=context)
third.user("alice@example.test")
third.pass_("quickstart")
_, left, _ = third.uidl()
assert [line.split()[1] for line in left] == [names[1].split()[1]], (left, names)
third.quit()

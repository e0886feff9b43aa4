"""What mail programs do in a day, by Python's imaplib. Arguments: the ports of imap and imaps."""

import imaplib
import ssl
import sys
import time

plain, secure = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def ok(answer):
    kind, data = answer
    assert kind == "OK", (kind, data)
    return data


# STARTTLS first: LOGIN in clear must not work.
first = imaplib.IMAP4("127.0.0.1", plain)
assert "LOGINDISABLED" in first.capabilities, first.capabilities
first.starttls(context)
ok(first.login("bob@example.test", "quickstart"))
capabilities = ok(first.capability())[0].split()
assert {b"IDLE", b"MOVE", b"IMAP4rev2", b"CONDSTORE"} <= set(capabilities), capabilities

second = imaplib.IMAP4_SSL("127.0.0.1", secure, ssl_context=context)
ok(second.authenticate("PLAIN", lambda _: b"\0bob@example.test\0quickstart"))

assert ok(first.select("INBOX")) == [b"1"]
ok(second.select("INBOX"))

# Flags that one session sets, the other sees.
ok(first.store("1", "+FLAGS", r"(\Seen $Work)"))
second.noop()
kind, data = second.response("FETCH")
assert data and b"\\Seen" in data[0] and b"$Work" in data[0], data

# Upload, search, fetch parts.
message = b"From: bob@example.test\r\nTo: alice@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nbody text\r\n"
ok(first.append("Drafts", r"(\Draft)", imaplib.Time2Internaldate(time.time()), message))
ok(first.select("Drafts"))
assert ok(first.search("UTF-8", "SUBJECT", '"Grüße"'.encode())) == [b"1"]
assert ok(first.search(None, "DRAFT", "UNDELETED", "TEXT", "body")) == [b"1"]
structure = ok(first.fetch("1", "(UID ENVELOPE BODYSTRUCTURE RFC822.SIZE FLAGS)"))
assert b"Gr=C3=BC" in structure[0], structure
part = ok(first.fetch("1", "(BODY.PEEK[TEXT]<0.4>)"))
assert part[0][1] == b"body", part
assert ok(first.fetch("1", "(BODY.PEEK[])"))[0][1] == message

# Folders.
ok(first.create("Projects/2026"))
ok(first.subscribe("Projects/2026"))
names = b"\n".join(ok(first.list()))
assert b"Projects/2026" in names and b"\\Sent" in names, names
ok(first.copy("1", "Projects/2026"))
ok(first.rename("Projects/2026", "Projects/2027"))
ok(first.select("Projects/2027"))
assert ok(first.uid("SEARCH", None, "ALL")) == [b"1"]
ok(first.uid("MOVE", "1", "Trash"))
assert ok(first.search(None, "ALL")) == [b""]
ok(first.select("Trash"))
ok(first.store("1", "+FLAGS", r"(\Deleted)"))
assert ok(first.expunge()) == [b"1"]
ok(first.unselect())
ok(first.delete("Projects/2027"))

# A mailbox that two people use.
ok(first.create("Team"))
ok(first.append("Team", None, None, message))
ok(first.setacl("Team", "alice@example.test", "lrs"))
assert b"alice@example.test lrs" in ok(first.getacl("Team"))[0]
third = imaplib.IMAP4_SSL("127.0.0.1", secure, ssl_context=context)
ok(third.login("alice@example.test", "quickstart"))
team = '"Other Users/bob@example.test/Team"'
assert b"Other Users/" in ok(third.namespace())[0]
assert any(b"Team" in line for line in ok(third.list()))
assert ok(third.myrights(team))[0].endswith(b" lrs")
assert ok(third.select(team, readonly=True)) == [b"1"]
third.logout()
ok(first.select("Team"))
assert ok(first.search(None, "UNSEEN")) == [b"1"]
ok(first.deleteacl("Team", "alice@example.test"))

# Quota and status answer.
ok(first.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)"))
ok(first.getquotaroot("INBOX"))

# New mail shows in a session that is open.
ok(first.select("INBOX"))
ok(second.append("INBOX", None, None, message))
first.noop()
assert first.response("EXISTS")[1][-1] == b"2"

first.logout()
second.logout()

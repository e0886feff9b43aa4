"""Arguments: host, user, password. Prints the subject of each message in INBOX, one a line."""
import imaplib
import re
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with imaplib.IMAP4_SSL(sys.argv[1], 993, ssl_context=context, timeout=60) as server:
    server.login(sys.argv[2], sys.argv[3])
    server.select("INBOX", readonly=True)
    _, answer = server.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    for part in answer:
        if isinstance(part, tuple):
            print(re.sub(r"^Subject:\s*", "", part[1].decode().strip(), flags=re.I))

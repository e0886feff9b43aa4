"""Arguments: host, user, password. Logs in and says so; then answers each line of standard input with what NOOP returned."""
import imaplib
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
server = imaplib.IMAP4_SSL(sys.argv[1], 993, ssl_context=context, timeout=60)
server.login(sys.argv[2], sys.argv[3])
server.select("INBOX")
print("ready", flush=True)
for _ in sys.stdin:
    print(server.noop()[0], flush=True)
server.logout()

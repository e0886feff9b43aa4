"""Arguments: host, user, password. Reads `RECIPIENT ID` a line, submits a message, prints `taken`, `refused WHY`, or `lost`.

A message is tried once. A connection that is gone is made anew before the next message."""
import smtplib
import ssl
import sys
import time

host, user, password = sys.argv[1:]
PATIENCE = 60


def connect():
    # What the certificate is worth is the subject of another scenario.
    context = ssl._create_unverified_context()
    began = time.monotonic()
    while True:
        try:
            session = smtplib.SMTP(host, 587, local_hostname="client.example.net", timeout=30)
            session.starttls(context=context)
            session.login(user, password)
            return session
        except OSError:
            if time.monotonic() - began > PATIENCE:
                raise
            time.sleep(0.1)


session = None
for line in sys.stdin:
    recipient, number = line.split()
    domain = user.partition("@")[2]
    message = (
        f"From: <{user}>\r\nTo: <{recipient}>\r\nSubject: {number}\r\nMessage-ID: <{number}@{domain}>\r\n"
        f"Date: Thu, 01 Jan 2026 12:00:00 +0000\r\n\r\n{number}\r\n"
    )
    try:
        session = session or connect()
        session.sendmail(user, [recipient], message)
        print("taken", flush=True)
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as refused:
        print("refused", refused, flush=True)
    except OSError:
        session = None
        print("lost", flush=True)

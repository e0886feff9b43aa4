"""Reads a message; prints selector, algorithm and verdict of each DKIM signature."""
import re
import sys

import dkim

message = re.sub(rb"\r?\n", b"\r\n", sys.stdin.buffer.read())
verifier = dkim.DKIM(message)
fields = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"]
for index, field in enumerate(fields):
    tags = dkim.util.parse_tag_value(field)
    try:
        verdict = "pass" if dkim.DKIM(message).verify(idx=index) else "fail"
    except dkim.DKIMException as error:
        verdict = f"fail {error}"
    print(tags[b"s"].decode(), tags[b"a"].decode(), verdict)

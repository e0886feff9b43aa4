"""Arguments: client address, MAIL FROM, HELO name. Prints the SPF result."""
import sys

import spf

print(spf.check2(i=sys.argv[1], s=sys.argv[2], h=sys.argv[3])[0])

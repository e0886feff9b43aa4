//! A message as a multi-line response (RFC 1939 §3): lines end with CRLF, and one that begins with a dot gets another.

/// What has been told of a message that comes in pieces of any size.
#[derive(Debug, Clone)]
pub struct Stuffer {
    /// Lines of the body that are still wanted; `None`: all.
    lines: Option<u32>,
    in_header: bool,
    /// The next octet begins a line.
    at_start: bool,
    /// The last octet was a CR.
    after_cr: bool,
    /// The line has no octets but a CR that may end it.
    is_blank: bool,
}

impl Stuffer {
    /// For the whole message.
    #[must_use]
    pub fn whole() -> Self {
        Self {
            lines: None,
            in_header: true,
            at_start: true,
            after_cr: false,
            is_blank: true,
        }
    }

    /// For the header, the empty line, and some lines of the body (RFC 1939 §7, TOP).
    #[must_use]
    pub fn top(lines: u32) -> Self {
        Self {
            lines: Some(lines),
            ..Self::whole()
        }
    }

    /// Tells the next octets of the message; false when nothing behind them is wanted. A bare LF becomes CRLF, so that a client
    /// that takes it for a line end sees no end of the response where there is none.
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> bool {
        while !octets.is_empty() && self.wants_more() {
            if self.at_start && octets.first() == Some(&b'.') {
                out.push(b'.');
            }
            let Some(end) = memchr::memchr(b'\n', octets) else {
                out.extend_from_slice(octets);
                self.unfinished(octets);
                return true;
            };
            let (line, rest) = octets.split_at(end);
            out.extend_from_slice(line);
            self.end_line(line, out);
            octets = rest.get(1..).unwrap_or_default();
        }
        self.wants_more()
    }

    /// Ends the response.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.at_start {
            out.extend_from_slice(if self.after_cr { b"\n" } else { b"\r\n" });
        }
        out.extend_from_slice(b".\r\n");
    }

    fn wants_more(&self) -> bool {
        self.in_header || self.lines != Some(0)
    }

    fn unfinished(&mut self, octets: &[u8]) {
        self.is_blank = self.is_blank && !self.after_cr && octets == b"\r";
        self.after_cr = octets.last() == Some(&b'\r');
        self.at_start = false;
    }

    fn end_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let has_cr = line.last().map_or(self.after_cr, |last| *last == b'\r');
        out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
        let is_blank = self.is_blank && (line.is_empty() || (line == b"\r" && !self.after_cr));
        if self.in_header {
            self.in_header = !is_blank;
        } else if let Some(lines) = &mut self.lines {
            *lines -= 1;
        }
        (self.at_start, self.after_cr, self.is_blank) = (true, false, true);
    }
}

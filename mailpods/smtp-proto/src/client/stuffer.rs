//! Writes a body for DATA: dots stuffed, every line ended in CRLF, the end mark.

use memchr::memchr2;

/// Stuffs a body that comes in pieces. Bare CR and LF never reach the wire: LF becomes CRLF, CR becomes a blank
/// (RFC 5321 §2.3.8), so nothing in a body can end it for any reader.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    held_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> DotStuffer {
        DotStuffer {
            at_line_start: true,
            held_cr: false,
        }
    }
}

impl DotStuffer {
    /// Appends the wire form of a piece to `out`.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.held_cr) {
                if first == b'\n' {
                    rest = rest.get(1..).unwrap_or(&[]);
                    self.new_line(out);
                    continue;
                }
                out.push(b' ');
                self.at_line_start = false;
            }
            let taken = self.write_some(first, rest, out);
            rest = rest.get(taken..).unwrap_or(&[]);
        }
    }

    /// Appends what is missing of the last line, and the end mark.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.held_cr = false;
        // RFC 5321 §4.1.1.4: the CRLF of the end mark is the last line's own.
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        *self = DotStuffer::default();
    }

    fn write_some(&mut self, first: u8, rest: &[u8], out: &mut Vec<u8>) -> usize {
        match first {
            b'\r' => self.held_cr = true,
            b'\n' => self.new_line(out),
            _ => return self.write_text(rest, out),
        }
        1
    }

    fn write_text(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        // RFC 5321 §4.5.2.
        if self.at_line_start && rest.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(rest.get(..end).unwrap_or(&[]));
        self.at_line_start = false;
        end
    }

    fn new_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.at_line_start = true;
    }
}

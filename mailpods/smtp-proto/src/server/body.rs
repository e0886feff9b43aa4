//! Streams a body: dot unstuffing, the end mark, line lengths, bare CR and LF, NUL. Holds no octets but one CR.

use super::config::OctetPolicy;
use crate::error::ProtocolError;
use memchr::memchr3;

/// What a body may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) newlines: OctetPolicy,
    pub(super) nul: OctetPolicy,
    /// Octets without CRLF.
    pub(super) line: usize,
}

/// How strictly the octets are looked at.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// By the rules.
    Checked(Rules),
    /// BINARYMIME, or a body already refused: only the end mark counts.
    Unchecked,
}

/// Takes octets of a body step by step.
#[derive(Debug)]
pub(super) struct Decoder {
    mode: Mode,
    /// DATA: dots are stuffed and CRLF.CRLF ends it. BDAT: neither.
    dots: bool,
    at_line_start: bool,
    /// A CR was taken and waits for what follows.
    held_cr: bool,
    /// Octets of the present line.
    line: usize,
}

/// What the next octets are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many octets are content as they stand.
    Content(usize),
    /// So many octets stand for these.
    Replace(usize, &'static [u8]),
    /// So many octets are the end mark.
    End(usize),
    /// So many octets are taken, and then comes a fault; go on with [`Decoder::refuse`].
    Fault(usize, ProtocolError),
    /// More input is needed.
    More,
}

impl Decoder {
    pub(super) fn data(rules: Rules) -> Decoder {
        Decoder {
            mode: Mode::Checked(rules),
            dots: true,
            at_line_start: true,
            held_cr: false,
            line: 0,
        }
    }

    pub(super) fn chunks(rules: Rules, binary: bool) -> Decoder {
        let mode = if binary {
            Mode::Unchecked
        } else {
            Mode::Checked(rules)
        };
        Decoder {
            mode,
            dots: false,
            at_line_start: true,
            held_cr: false,
            line: 0,
        }
    }

    /// From now on nothing is checked: the body is only followed to its end.
    pub(super) fn refuse(&mut self) {
        self.mode = Mode::Unchecked;
    }

    /// Looks at the front of `input`. Takes time linear in what it consumes.
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        let Some(&first) = input.first() else {
            return Step::More;
        };
        if !self.dots && matches!(self.mode, Mode::Unchecked) {
            return Step::Content(input.len());
        }
        if self.held_cr {
            return self.after_cr(first);
        }
        if self.dots && self.at_line_start && first == b'.' {
            return self.leading_dot(input);
        }
        match self.clean_span(input) {
            Err(fault) => fault,
            Ok(0) => self.special(first),
            Ok(count) => Step::Content(count),
        }
    }

    /// At the end of the last chunk: a CR that nothing follows.
    pub(super) fn finish(&mut self) -> Step {
        if self.held_cr {
            self.bare_cr()
        } else {
            Step::End(0)
        }
    }

    /// RFC 5321 §4.5.2: a line of one dot is the end; another leading dot is taken away. The line before ended in CRLF
    /// and this one must too: nothing else ends a message.
    fn leading_dot(&mut self, input: &[u8]) -> Step {
        const END: &[u8] = b".\r\n";
        if input.starts_with(END) {
            return Step::End(END.len());
        }
        if END.starts_with(input) {
            return Step::More;
        }
        self.at_line_start = false;
        Step::Replace(1, b"")
    }

    /// Octets from the front that are content as they stand: whole lines and a part of one, up to a leading dot, CR
    /// without LF, LF, or NUL.
    fn clean_span(&mut self, input: &[u8]) -> Result<usize, Step> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.dots && self.at_line_start && rest.first() == Some(&b'.') {
                break;
            }
            let plain = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            at += plain;
            self.count(plain).map_err(|error| Step::Fault(at, error))?;
            if !rest
                .get(plain..)
                .is_some_and(|special| special.starts_with(b"\r\n"))
            {
                break;
            }
            at += 2;
            self.new_line();
        }
        Ok(at)
    }

    fn count(&mut self, octets: usize) -> Result<(), ProtocolError> {
        if octets > 0 {
            self.at_line_start = false;
            self.line = self.line.saturating_add(octets);
        }
        match self.mode {
            Mode::Checked(rules) if self.line > rules.line => {
                Err(ProtocolError::BodyLineTooLong { limit: rules.line })
            }
            _ => Ok(()),
        }
    }

    fn new_line(&mut self) {
        self.at_line_start = true;
        self.line = 0;
    }

    /// One octet that is not plain content.
    fn special(&mut self, octet: u8) -> Step {
        match (octet, self.mode) {
            (b'\r', _) => {
                self.held_cr = true;
                Step::Replace(1, b"")
            }
            (b'\n', Mode::Checked(rules)) => self.bare_lf(rules),
            (_, Mode::Checked(rules)) if rules.nul == OctetPolicy::Reject => {
                Step::Fault(0, ProtocolError::Nul)
            }
            (_, mode) => {
                // A dot after it is no leading dot, even when the octet itself is left out.
                self.at_line_start = false;
                if matches!(mode, Mode::Unchecked) {
                    Step::Content(1)
                } else {
                    Step::Replace(1, b"")
                }
            }
        }
    }

    /// RFC 5321 §2.3.8: a mended LF starts a line of the message, but never one that a dot could end or be taken from.
    fn bare_lf(&mut self, rules: Rules) -> Step {
        match rules.newlines {
            OctetPolicy::Reject => Step::Fault(0, ProtocolError::BareNewline),
            OctetPolicy::Mend => {
                self.at_line_start = false;
                self.line = 0;
                Step::Replace(1, b"\r\n")
            }
        }
    }

    fn after_cr(&mut self, next: u8) -> Step {
        if next != b'\n' {
            return self.bare_cr();
        }
        self.held_cr = false;
        self.new_line();
        Step::Replace(1, b"\r\n")
    }

    fn bare_cr(&mut self) -> Step {
        self.held_cr = false;
        self.at_line_start = false;
        match self.mode {
            Mode::Unchecked => Step::Replace(0, b"\r"),
            Mode::Checked(rules) if rules.newlines == OctetPolicy::Mend => Step::Replace(0, b" "),
            Mode::Checked(_) => Step::Fault(0, ProtocolError::BareNewline),
        }
    }
}

//! ENABLE (RFC 5161).

use crate::failure::Reply;
use crate::session::Session;

impl Session {
    /// RFC 5161 §3.1: what is not known is passed over
    pub(crate) fn enable(&mut self, names: &[String]) -> Reply {
        let asked = |name: &str| names.iter().any(|asked| asked == name);
        let mut enabled = Vec::new();
        if asked("CONDSTORE") && !self.condstore {
            self.enable_condstore();
            enabled.push("CONDSTORE");
        }
        if asked("QRESYNC") && !self.qresync {
            // RFC 7162 §3.2.3: QRESYNC brings CONDSTORE with it
            self.enable_condstore();
            self.qresync = true;
            enabled.push("QRESYNC");
        }
        if asked("IMAP4REV2") && !self.rev2 {
            self.rev2 = true;
            enabled.push("IMAP4rev2");
        }
        if asked("UTF8=ACCEPT") && !self.utf8_accept {
            self.utf8_accept = true;
            enabled.push("UTF8=ACCEPT");
        }
        self.decoder.set_utf8(self.utf8());
        self.writer().enabled(&enabled);
        Reply::ok("done")
    }

    pub(crate) fn enable_condstore(&mut self) {
        self.condstore = true;
    }

    /// Names and strings are UTF-8 in both directions (RFC 9051 §5.1, RFC 9755 §3).
    pub(crate) fn utf8(&self) -> bool {
        self.rev2 || self.utf8_accept
    }
}

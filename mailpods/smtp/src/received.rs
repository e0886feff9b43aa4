//! The Received field (RFC 5321 §4.4).

use std::net::IpAddr;

use mailpods_message::header::format_date;
use mailpods_net::TlsInfo;

/// What the field tells.
pub(crate) struct Received<'a> {
    /// The client; `None` on submission, where its address is nobody's business.
    pub(crate) from: Option<(&'a str, IpAddr)>,
    /// Our name.
    pub(crate) by: &'a str,
    /// The queue id.
    pub(crate) id: &'a str,
    /// The only recipient; `None` when there are several, so that they do not learn of each other.
    pub(crate) recipient: Option<&'a str>,
    /// TLS, when it is on.
    pub(crate) tls: Option<&'a TlsInfo>,
    pub(crate) lmtp: bool,
    pub(crate) extended: bool,
    pub(crate) authenticated: bool,
    pub(crate) smtputf8: bool,
    /// The header section was changed on submission.
    pub(crate) mended: bool,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl Received<'_> {
    /// The whole field with its CRLF.
    pub(crate) fn field(&self) -> String {
        let mut field = "Received:".to_owned();
        if let Some((helo, address)) = self.from {
            field.push_str(&format!(
                " from {} ({})\r\n\t",
                safe_name(helo),
                literal(address)
            ));
        } else {
            field.push(' ');
        }
        field.push_str(&format!(
            "by {} (Mailpods) with {}",
            self.by,
            self.protocol()
        ));
        if let Some(tls) = self.tls {
            field.push_str(&format!(
                "\r\n\t(using {} with cipher {})",
                tls.version, tls.cipher
            ));
        }
        if self.mended {
            // RFC 5321 §6.4: a change is told. What was changed is not: it could be the removal of Bcc.
            field.push_str("\r\n\t(header mended)");
        }
        field.push_str(&format!("\r\n\tid {}", self.id));
        if let Some(recipient) = self.recipient {
            field.push_str(&format!("\r\n\tfor <{recipient}>"));
        }
        field.push_str(&format!(";\r\n\t{}\r\n", format_date(self.now, 0)));
        field
    }

    /// The keyword of RFC 3848, with UTF8SMTP by RFC 6531 §4.3.
    fn protocol(&self) -> String {
        let base = match (self.smtputf8, self.lmtp, self.extended) {
            (true, true, _) => "UTF8LMTP",
            (true, false, _) => "UTF8SMTP",
            (false, true, _) => "LMTP",
            (false, false, true) => "ESMTP",
            (false, false, false) => return "SMTP".to_owned(),
        };
        let secure = if self.tls.is_some() { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        format!("{base}{secure}{authenticated}")
    }
}

/// What a client called itself, as it can stand in a field: anything but names and literals is masked.
fn safe_name(helo: &str) -> String {
    let safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    helo.chars()
        .take(255)
        .map(|c| if safe(c) { c } else { '?' })
        .collect()
}

/// RFC 5321 §4.1.3.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received<'a>() -> Received<'a> {
        Received {
            from: Some(("client(x)\u{fc}", IpAddr::from([192, 0, 2, 1]))),
            by: "mx.example.test",
            id: "ID",
            recipient: Some("bob@example.test"),
            tls: None,
            lmtp: false,
            extended: true,
            authenticated: false,
            smtputf8: false,
            mended: false,
            now: 0,
        }
    }

    #[test]
    fn tells_who_and_how() {
        let field = received().field();
        let wanted = "Received: from client?x?? ([192.0.2.1])\r\n\tby mx.example.test (Mailpods) with ESMTP\r\n\tid ID\r\n\t\
                      for <bob@example.test>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n";
        assert_eq!(field, wanted);
    }

    #[test]
    fn keywords_follow_the_registry() {
        let tls = TlsInfo {
            version: "TLSv1.3",
            cipher: "X",
            sni: None,
            exporter: None,
            server_end_point: None,
        };
        let keyword = |change: &dyn Fn(&mut Received)| {
            let mut received = received();
            received.tls = Some(&tls);
            change(&mut received);
            received.protocol()
        };
        assert_eq!(keyword(&|r| r.authenticated = true), "ESMTPSA");
        assert_eq!(keyword(&|r| r.lmtp = true), "LMTPS");
        assert_eq!(
            keyword(&|r| (r.smtputf8, r.authenticated) = (true, true)),
            "UTF8SMTPSA"
        );
        assert_eq!(
            keyword(&|r| (r.smtputf8, r.lmtp) = (true, true)),
            "UTF8LMTPS"
        );
        assert_eq!(keyword(&|r| r.extended = false), "SMTP");
    }
}

//! How the store knows a folder of a source. Names are stored: they never change.
use super::from::Server;

/// The name. The usual ports and the master user are no part of it: another way in leads to the same folder.
pub fn name(server: &Server, user: &str, raw: &[u8]) -> String {
    let Server { host, port, .. } = server;
    let place = match port {
        143 | 993 => host.clone(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    };
    let user = account(user);
    match std::str::from_utf8(raw) {
        Ok(folder) => format!("imap://{user}@{place}/{folder}"),
        // Octets that are no text have names of their own, each another.
        Err(_) => {
            let hex: String = raw.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("imap-octets://{user}@{place}/{hex}")
        }
    }
}

/// The name of before ports counted, where that is another.
pub fn earlier_name(server: &Server, user: &str, raw: &[u8]) -> Option<String> {
    let folder = std::str::from_utf8(raw).ok()?;
    let earlier = format!("imap://{}@{}/{folder}", account(user), server.host);
    (earlier != name(server, user, raw)).then_some(earlier)
}

fn account(user: &str) -> &str {
    user.split('*').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server {
            user: None,
            host: host.to_owned(),
            port,
            starttls: false,
        }
    }

    #[test]
    fn ports_and_octets_tell_folders_apart() {
        let usual = "imap://alice@old.test/INBOX";
        for port in [143, 993] {
            let server = server("old.test", port);
            assert_eq!(name(&server, "alice*master", b"INBOX"), usual);
            assert_eq!(earlier_name(&server, "alice", b"INBOX"), None);
        }
        let other = server("old.test", 1143);
        assert_eq!(
            name(&other, "alice", b"INBOX"),
            "imap://alice@old.test:1143/INBOX"
        );
        assert_eq!(
            earlier_name(&other, "alice", b"INBOX").as_deref(),
            Some(usual)
        );
        let six = server("::1", 1143);
        assert_eq!(name(&six, "a", b"x"), "imap://a@[::1]:1143/x");
        assert_ne!(
            name(&other, "alice", b"B\xfcro"),
            name(&other, "alice", b"B\xf6ro")
        );
        assert_eq!(earlier_name(&other, "alice", b"B\xfcro"), None);
    }
}

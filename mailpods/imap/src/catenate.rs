//! CATENATE (RFC 4469): a message made of texts and of parts of messages that are here.

use bytes::{Bytes, BytesMut};
use mailpods_api::Rights;
use mailpods_imap_proto::url::MessageUrl;
use mailpods_imap_proto::{CatenatePart, Code};
use mailpods_store::mail::Columns;

use crate::failure::Failure;
use crate::fetch::part_octets;
use crate::session::Session;

impl Session {
    /// The message. It is held as a whole, as one that is sent is.
    pub(crate) async fn catenate(&mut self, parts: &[CatenatePart]) -> Result<Bytes, Failure> {
        let limit = self.append_limit();
        let mut message = BytesMut::new();
        for part in parts {
            let room = limit.saturating_sub(message.len() as u64);
            let octets = match part {
                CatenatePart::Text(octets) => octets.clone(),
                CatenatePart::Url(url) => self.octets_of(url, room).await?,
            };
            if octets.len() as u64 > room {
                // RFC 4469 §4
                return Err(Failure::no(Code::TooBig, "the message is too large"));
            }
            message.extend_from_slice(&octets);
            self.hold(message.len() as u64)?;
        }
        Ok(message.freeze())
    }

    /// The octets that a URL names, of a mailbox that the client may read; at most `room`.
    async fn octets_of(&self, text: &str, room: u64) -> Result<Bytes, Failure> {
        // RFC 4469 §4: which URL was bad
        let bad = || Failure::BadUrl(text.to_owned());
        let url = MessageUrl::parse(text).ok_or_else(bad)?;
        let store = self.mail();
        let place = self.place(&url.mailbox).await?;
        let place = place.filter(|place| place.rights.contains(Rights::READ));
        let mailbox = place.map(|place| place.info).filter(|mailbox| {
            url.validity
                .is_none_or(|validity| validity == mailbox.uid_validity)
        });
        let columns = Columns {
            prefix: true,
            meta: true,
            reader: None,
        };
        let range = url.uid..=url.uid;
        let mailbox = mailbox.ok_or_else(bad)?;
        let entries = store.entries(mailbox.id, range, 0, columns, 1).await?;
        let entry = entries.first().ok_or_else(bad)?;
        let octets = part_octets(&*store, entry, (url.section, url.partial), room).await?;
        octets.ok_or_else(bad)
    }
}

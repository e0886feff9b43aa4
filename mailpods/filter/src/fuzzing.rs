//! The entry point of fuzz targets: every parser of the filter over one input. Panics and time are what a fuzzer looks for.

use mail_auth::dkim::Canonicalization;

use crate::arc::Chain;
use crate::dkim::{BodyHashes, KeyRecord, Kind, Signature, Tags, without_signature};
use crate::message::{Message, a_label};
use crate::{dmarc, fields};

/// Runs everything over `input`: as a message, and as what DNS may answer.
pub fn fuzz_filter(input: &[u8]) {
    records(input);
    message(input);
    let text = String::from_utf8_lossy(input);
    let _ = a_label(&text).as_deref().map(dmarc::organizational_domain);
    assert!(
        !fields::value(&text).contains(['\r', '\n']),
        "a value with a line break"
    );
}

fn records(input: &[u8]) {
    let texts: Vec<Box<[u8]>> = input
        .split(|octet| *octet == 0)
        .take(8)
        .map(Box::from)
        .collect();
    let _ = (
        mailpods_spf::Published::parse(&texts),
        dmarc::Published::parse(&texts),
        KeyRecord::parse_set(&texts),
    );
    let _ = std::str::from_utf8(input).map(Tags::parse);
    for kind in [Kind::Dkim, Kind::Arc] {
        let _ = Signature::parse(input, kind);
    }
    assert!(
        without_signature(input).len() <= input.len(),
        "taking out made it longer"
    );
}

fn message(input: &[u8]) {
    let message = Message::parse(input);
    let _ = (
        message.author_domains(),
        Chain::read(&message).map(|chain| chain.is_ok()),
    );
    for field in message.fields_called("dkim-signature") {
        if let (_, Ok(signature)) = Signature::parse(field.value, Kind::Dkim) {
            let _ = message.signed(&signature.signed_fields);
        }
    }
    let _ = BodyHashes::compute(
        message.body,
        [Canonicalization::Simple, Canonicalization::Relaxed],
    );
}

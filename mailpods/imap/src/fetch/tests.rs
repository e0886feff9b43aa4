use super::section::filter_fields;
use super::source::cut;
use super::*;
use mailpods_imap_proto::{Partial, Section, SectionText};

const MESSAGE: &[u8] = b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n\
Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nX: y\r\n\r\ndeep\r\n--c--\r\n--b--\r\n";
const PREFIX: &[u8] = b"Return-Path: <a@b>\r\n";

fn whole() -> Vec<u8> {
    [PREFIX, MESSAGE].concat()
}

fn map() -> MessageMap {
    MessageMap::new(
        Structure::parse(MESSAGE),
        PREFIX.len() as u32,
        whole().len() as u64,
    )
}

fn section(part: &[u32], text: Option<SectionText>) -> Option<String> {
    let range = map().locate(&Section {
        part: part.to_vec(),
        text,
    })?;
    whole()
        .get(range.start as usize..range.end as usize)
        .map(|octets| String::from_utf8_lossy(octets).into_owned())
}

#[test]
fn sections_of_a_message_behind_a_prefix() {
    assert_eq!(section(&[], None).unwrap().as_bytes(), whole());
    let header = section(&[], Some(SectionText::Header)).unwrap();
    assert!(
        header.starts_with("Return-Path: <a@b>\r\nSubject: outer")
            && header.ends_with("boundary=b\r\n\r\n"),
        "{header}"
    );
    assert!(
        section(&[], Some(SectionText::Text))
            .unwrap()
            .starts_with("--b\r\n")
    );
    assert_eq!(section(&[1], None).unwrap(), "first");
    assert_eq!(
        section(&[2], Some(SectionText::Mime)).unwrap(),
        "Content-Type: message/rfc822\r\n\r\n"
    );
    assert!(section(&[2], None).unwrap().starts_with("Subject: inner"));
    assert!(
        section(&[2], Some(SectionText::Header))
            .unwrap()
            .starts_with("Subject: inner")
    );
    assert!(
        section(&[2], Some(SectionText::Text))
            .unwrap()
            .starts_with("--c")
    );
    assert_eq!(section(&[2, 1], None).unwrap(), "deep");
    assert_eq!(
        section(&[2, 1], Some(SectionText::Mime)).unwrap(),
        "X: y\r\n\r\n"
    );
    assert_eq!(section(&[3], None), None);
    assert_eq!(
        section(&[1], Some(SectionText::Header)),
        None,
        "part 1 encloses no message"
    );
}

#[test]
fn a_header_needs_only_the_header() {
    let header = BodyItem::Section {
        section: Section {
            part: vec![],
            text: Some(SectionText::Header),
        },
        partial: None,
        name: None,
    };
    let text = MESSAGE
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4
        + PREFIX.len();
    assert_eq!(map().extent(std::slice::from_ref(&header)), 0..text as u64);
    let some = Some(Partial {
        origin: 2,
        length: 3,
    });
    let part = BodyItem::Section {
        section: Section {
            part: vec![1],
            text: None,
        },
        partial: some,
        name: None,
    };
    assert_eq!(map().extent(&[part]).count(), 3);
    assert_eq!(map().extent(&[BodyItem::BinarySize(vec![9])]), 0..0);
}

#[test]
fn partials_end_where_the_section_ends() {
    let cut = |origin, length| cut(10..20, Some(Partial { origin, length }));
    assert_eq!(
        (cut(0, 5), cut(5, 100), cut(10, 1), cut(u32::MAX, u32::MAX)),
        (10..15, 15..20, 20..20, 20..20)
    );
}

#[test]
fn header_fields_keep_their_folding() {
    let header = b"A: 1\r\nb: 2\r\n folded\r\nA: 3\r\n\r\n";
    assert_eq!(
        filter_fields(header, &["a".to_owned()], true),
        b"A: 1\r\nA: 3\r\n\r\n"
    );
    assert_eq!(
        filter_fields(header, &["a".to_owned()], false),
        b"b: 2\r\n folded\r\n\r\n"
    );
    assert_eq!(filter_fields(b"", &["a".to_owned()], true), b"\r\n");
}

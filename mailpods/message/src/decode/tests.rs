use super::*;

#[test]
fn transfer_encodings_decode_within_their_limit() {
    let table: [(&str, &[u8], &[u8]); 8] = [
        ("base64", b"aGVs\r\nbG8=\r\n", b"hello"),
        ("BASE64", b"aGVsbG8", b"hello"),
        ("base64", b"aGk=aGk=", b"hihi"),
        ("quoted-printable", b"a=3Db  \r\nc=\r\nd", b"a=b\r\ncd"),
        ("quoted-printable", b"bad=ZZ =", b"bad=ZZ "),
        ("7bit", b"as is", b"as is"),
        ("binary", b"\0", b"\0"),
        ("", b"x", b"x"),
    ];
    for (encoding, body, wanted) in table {
        assert_eq!(
            transfer_decode(encoding, body, 1 << 20).as_deref(),
            Some(wanted),
            "{encoding} {body:?}"
        );
    }
    assert_eq!(
        transfer_decode("base64", b"aGVsbG8=", 3).as_deref(),
        Some(&b"hel"[..])
    );
    assert_eq!(transfer_decode("x-unknown", b"", 3), None);
}

#[test]
fn charsets_become_utf8() {
    let table: [(&[u8], &[u8], &str); 7] = [
        (b"utf-8", "ä".as_bytes(), "ä"),
        (b"ISO-8859-1", b"\xe4", "ä"),
        (b"windows-1252", b"\x80", "€"),
        (b"koi8-r", b"\xc1", "а"),
        (b"iso-2022-jp", b"\x1b$B$\"\x1b(B", "あ"),
        (b"shift_jis", b"\x82\xa0", "あ"),
        (b"no-such-charset", b"a\xff", "a\u{fffd}"),
    ];
    for (charset, octets, wanted) in table {
        assert_eq!(
            to_utf8(charset, octets),
            wanted,
            "{}",
            String::from_utf8_lossy(charset)
        );
    }
}

#[test]
fn quoted_printable_lines_stay_short() {
    let body = format!("{}\r\n.\r\n trailing \r\n", "ä=".repeat(200));
    let encoded = to_quoted_printable(body.as_bytes());
    assert!(
        encoded
            .split(|&byte| byte == b'\n')
            .all(|line| line.len() <= 77)
    );
    assert_eq!(quoted_printable(&encoded, usize::MAX), body.as_bytes());
    assert_eq!(
        base64_lenient(&base64_lines(body.as_bytes())),
        body.as_bytes()
    );
}

use super::*;

/// A report in the form of RFC 5965 §B: machine-readable part and the part with the original as given.
fn report(fields: &str, original: &str) -> String {
    format!(
        "From: <fbl@provider.test>\r\nTo: <fbl@example.test>\r\nSubject: FW: spam\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n\
         --b1\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n\
         --b1\r\n{original}\r\n--b1--\r\n"
    )
}

const ORIGINAL: &str = "From: <alice@example.test>\r\nCFBL-Feedback-ID: abc\r\n\tdef-_9\r\nSubject: buy\r\n\r\nnow\r\n";

fn whole() -> String {
    format!("Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n{ORIGINAL}")
}

#[test]
fn a_report_with_the_whole_message() {
    let fields = "Feedback-Type: Abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\
                  Original-Mail-From: <alice@example.test>\r\nOriginal-Rcpt-To: <Bob@Provider.test>\r\n\
                  Original-Rcpt-To: carol@provider.test\r\n";
    let found = parse(report(fields, &whole()).as_bytes()).unwrap();
    assert_eq!(
        found,
        Feedback {
            kind: "abuse".to_owned(),
            agent: "SomeGenerator/1.0".to_owned(),
            recipients: vec![
                "bob@provider.test".to_owned(),
                "carol@provider.test".to_owned()
            ],
            id: "abcdef-_9".to_owned(),
        }
    );
}

#[test]
fn a_report_with_the_header_alone_and_redacted_recipients() {
    let original = "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                    From: <alice@example.test>\r\nCFBL-Feedback-ID: abc=\r\ndef\r\n";
    let fields = "Feedback-Type: abuse\r\nOriginal-Rcpt-To: <redacted>\r\n";
    let found = parse(report(fields, original).as_bytes()).unwrap();
    assert_eq!((found.id.as_str(), found.recipients.len()), ("abcdef", 0));
}

#[test]
fn outlook_names_the_recipient_in_the_message() {
    let original = format!(
        "Content-Type: message/rfc822\r\n\r\nX-HmXmrOriginalRecipient: bob@outlook.test\r\n{ORIGINAL}"
    );
    let fields = "Feedback-Type: abuse\r\nUser-Agent: Microsoft/JMRP\r\n";
    let found = parse(report(fields, &original).as_bytes()).unwrap();
    assert_eq!(found.recipients, ["bob@outlook.test"]);
    assert_eq!(found.id, "abcdef-_9");
}

#[test]
fn what_is_no_report() {
    let fields = "Feedback-Type: abuse\r\n";
    let good = report(fields, &whole());
    for (from, to) in [
        ("multipart/report", "multipart/mixed"),
        ("report-type=feedback-report", "report-type=delivery-status"),
        ("message/feedback-report", "message/delivery-status"),
        ("Feedback-Type: abuse", "Feedback: abuse"),
    ] {
        assert_eq!(parse(good.replace(from, to).as_bytes()), None, "{to}");
    }
    assert!(parse(good.as_bytes()).is_some());
    assert_eq!(parse(b""), None);
}

#[test]
fn what_is_read_is_bounded() {
    let many: String = (0..100)
        .map(|number| format!("Original-Rcpt-To: <r{number}@provider.test>\r\n"))
        .collect();
    let fields = format!(
        "Feedback-Type: abuse\r\nUser-Agent: {}\r\n{many}",
        "x".repeat(900)
    );
    let long = format!(
        "Content-Type: message/rfc822\r\n\r\nCFBL-Feedback-ID: {}\r\n\r\nx\r\n",
        "y".repeat(MAX_TOKEN + 1)
    );
    let found = parse(report(&fields, &long).as_bytes()).unwrap();
    assert_eq!(found.recipients.len(), MAX_RECIPIENTS);
    assert_eq!((found.agent.len(), found.id.as_str()), (MAX_TEXT, ""));
}

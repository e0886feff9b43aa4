//! Folding of long header lines, and encoded words.

use base64::Engine;

use super::{MAX_LINE, Reason, Refused, refuse};
use crate::Span;
use crate::edit::Edits;
use crate::header::Field;

/// Where lines are folded if they can be (RFC 5322 §2.1.1).
const WIDTH: usize = 78;

/// Folds the lines of `field` that exceed [`MAX_LINE`] before white space. A CRLF before white space never changes a value
/// (RFC 5322 §2.2.3).
pub(super) fn fold(message: &[u8], field: &Field, edits: &mut Edits) -> Result<(), Refused> {
    let (mut line_start, end) = (field.full.range().start, field.full.range().end);
    let name_end = field.name.range().end;
    while line_start < end {
        let line = crate::header::next_line(message, line_start, end);
        if line.end - line.start > MAX_LINE {
            for at in fold_points(message, line.start, line.end, name_end) {
                edits.insert(at, b"\r\n");
            }
            check_folded(message, field, line.start, line.end, name_end)?;
        }
        line_start = line.next;
    }
    Ok(())
}

/// The places before white space at which lines of about [`WIDTH`] octets end. Not before the first word, and never where a
/// line of white space alone would come to be.
fn fold_points(message: &[u8], start: usize, end: usize, name_end: usize) -> Vec<usize> {
    let (mut points, mut line_start, mut last) = (Vec::new(), start, None);
    let byte = |at: usize| message.get(at).copied().unwrap_or(b'x');
    let space = |at: usize| matches!(byte(at), b' ' | b'\t');
    let text_end = start
        + message
            .get(start..end)
            .unwrap_or_default()
            .trim_ascii_end()
            .len();
    for at in start + 1..end {
        let foldable = space(at) && !space(at - 1) && at > name_end + 1;
        let foldable = foldable && at < text_end;
        if foldable && (at - line_start < WIDTH || last.is_none()) {
            last = Some(at);
        }
        if at - line_start >= WIDTH
            && let Some(point) = last.take()
        {
            points.push(point);
            line_start = point;
            if foldable && at > point {
                last = Some(at);
            }
        }
    }
    points
}

fn check_folded(
    message: &[u8],
    field: &Field,
    start: usize,
    end: usize,
    name_end: usize,
) -> Result<(), Refused> {
    let mut at = start;
    for point in fold_points(message, start, end, name_end)
        .into_iter()
        .chain([end])
    {
        if point - at > MAX_LINE {
            let name = String::from_utf8_lossy(Span::of(field.name, message)).into_owned();
            return refuse(
                Reason::LineTooLong,
                format!(
                    "a line of the {name} field exceeds {MAX_LINE} octets and has no white space"
                ),
            );
        }
        at = point;
    }
    Ok(())
}

/// A whole field whose value is `text` in RFC 2047 words of UTF-8, each at most 75 octets (RFC 2047 §2).
pub(super) fn encoded_field(name: &str, text: &str) -> String {
    const CHUNK: usize = 42;
    let one_line: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let mut field = format!("{name}:");
    let mut rest = one_line.as_str();
    while !rest.is_empty() {
        let mut len = rest.len().min(CHUNK);
        while !rest.is_char_boundary(len) {
            len -= 1;
        }
        let (chunk, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
        let word = base64::engine::general_purpose::STANDARD.encode(chunk);
        field.push_str(&format!(" =?utf-8?B?{word}?=\r\n"));
        rest = tail;
    }
    field
}

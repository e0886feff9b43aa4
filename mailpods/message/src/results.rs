//! Authentication-Results values (RFC 8601 §2.2).

use crate::header::unfold;

/// A value in one line and lower case without what others may have written into it: comments are gone, and so are quotes, whose content keeps no
/// character that would end it.
#[must_use]
pub fn plain(value: &[u8]) -> String {
    let value = unfold(value);
    let text = String::from_utf8_lossy(&value).to_ascii_lowercase();
    let (mut out, mut depth, mut quoted, mut escaped) =
        (String::with_capacity(text.len()), 0_usize, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            _ if quoted => out.push(if c.is_ascii_whitespace() || c == ';' || c == '=' {
                '_'
            } else {
                c
            }),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => (),
        }
    }
    out
}

/// The results of a method, as they come in the value.
#[must_use]
pub fn results_of(value: &[u8], method: &str) -> Vec<String> {
    let result = |part: &str| {
        let (name, result) = part.split_ascii_whitespace().next()?.split_once('=')?;
        (name == method).then(|| result.to_owned())
    };
    plain(value).split(';').filter_map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::results_of;

    #[test]
    fn only_real_results_count() {
        let table: &[(&str, &[&str])] = &[
            ("mx.test; arc=pass smtp.remote-ip=1.2.3.4", &["pass"]),
            ("mx.test;\r\n\tspf=fail;\r\n\tARC=Fail (no set)", &["fail"]),
            ("mx.test; spf=fail (; arc=pass )", &[]),
            ("mx.test; spf=fail smtp.mailfrom=\"x; arc=pass\"", &[]),
            ("mx.test; spf=fail smtp.mailfrom=\"x\\\"; arc=pass\"", &[]),
            ("mx.test; dkim=pass; arc=none; arc=pass", &["none", "pass"]),
            ("mx.test; x=arc=pass", &[]),
        ];
        for (value, expected) in table {
            assert_eq!(results_of(value.as_bytes(), "arc"), *expected, "{value}");
        }
    }
}

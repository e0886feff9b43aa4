//! HTML as text: tags go, and what they hide.

/// Entities that stand for what people write; those of [`LATIN`] beside them.
const ENTITIES: [(&str, char); 29] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("euro", '€'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("fnof", 'ƒ'),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("bull", '•'),
    ("hellip", '…'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("trade", '™'),
];

/// Names of the characters from U+00A1 on.
const LATIN: &str = "iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para \
    middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml \
    Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave \
    aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde \
    ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/// Elements that begin a new line.
const BREAKS: [&str; 14] = [
    "br",
    "p",
    "div",
    "tr",
    "td",
    "th",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "table",
    "ul",
    "blockquote",
];

/// The text that a person would see. Linear in the length of `html`.
#[must_use]
pub fn to_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (text, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(text);
        rest = if from.starts_with('<') {
            tag(from, &mut out)
        } else {
            entity(from, &mut out)
        };
    }
    out.push_str(rest);
    out
}

/// Goes past a tag, and past what is never shown.
fn tag<'a>(from: &'a str, out: &mut String) -> &'a str {
    let end = if from.starts_with("<!--") { "-->" } else { ">" };
    let Some(len) = from.find(end) else {
        return "";
    };
    let after = from.get(len + end.len()..).unwrap_or_default();
    let inner = from.get(1..len).unwrap_or_default();
    let name: String = inner
        .trim_start_matches('/')
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(16)
        .collect::<String>()
        .to_ascii_lowercase();
    if matches!(name.as_str(), "script" | "style" | "head") && !inner.starts_with('/') {
        return hidden(after, &name);
    }
    if BREAKS.contains(&name.as_str()) {
        out.push('\n');
    }
    after
}

/// Goes past the end tag of `name`; to the end when there is none.
fn hidden<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        let after = rest.get(at + 2..).unwrap_or_default();
        if after
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
        {
            return after
                .find('>')
                .and_then(|end| after.get(end + 1..))
                .unwrap_or_default();
        }
        rest = after;
    }
    ""
}

fn entity<'a>(from: &'a str, out: &mut String) -> &'a str {
    let body = from.get(1..).unwrap_or_default();
    let end = body
        .char_indices()
        .take(10)
        .find(|(_, c)| *c == ';')
        .map(|(at, _)| at);
    let decoded = end.and_then(|end| Some((decode(body.get(..end)?)?, body.get(end + 1..)?)));
    match decoded {
        Some((c, after)) => {
            out.push(c);
            after
        }
        None => {
            out.push('&');
            body
        }
    }
}

fn decode(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    let known = ENTITIES.iter().find(|(known, _)| *known == name);
    let latin = || {
        let at = LATIN.split(' ').position(|known| known == name)?;
        char::from_u32(0xa1 + u32::try_from(at).ok()?)
    };
    known.map(|(_, c)| *c).or_else(latin)
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn tags_go_and_entities_come() {
        assert_eq!(
            to_text("<p>a &lt; b<br>c &#65;&bogus; &"),
            "\na < b\nc A&bogus; &"
        );
        assert_eq!(
            to_text("x<style>p { }</style>y<!-- > -->z<script>1 </ 2</script>!"),
            "xyz!"
        );
        assert_eq!(to_text("open <b"), "open ");
        assert_eq!(to_text("&iexcl;&szlig;&Uuml;&yuml;&shy;"), "¡ßÜÿ\u{ad}");
    }
}

//! `--list`: many accounts.
use std::path::{Path, PathBuf};

use mailpods_api::MailboxAddress;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::from::Place;
use crate::failure::{Exit, Failure};

/// Accounts of a list.
const MAX_ROWS: usize = 100_000;
/// Octets of a list.
const MAX_OCTETS: u64 = 64 << 20;

/// One account of a list.
#[derive(Clone)]
pub struct Row {
    pub address: MailboxAddress,
    /// In place of `--from`.
    pub from: Option<Place>,
    /// Who logs in; without it, the user of `--from`, or the address.
    pub user: Option<String>,
    pub password: Option<Zeroizing<String>>,
    pub password_file: Option<PathBuf>,
    /// In place of a password.
    pub oauth_token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Raw {
    address: String,
    from: Option<String>,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<String>,
    oauth_token_file: Option<String>,
}

impl Row {
    /// An account alone.
    pub fn of(address: MailboxAddress) -> Self {
        Self {
            address,
            from: None,
            user: None,
            password: None,
            password_file: None,
            oauth_token_file: None,
        }
    }
}

/// Reads a list: YAML by its name, else CSV with a head.
pub fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::because(
            Exit::Failed,
            format!("failed to read {}", path.display()),
            &error,
        )
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_OCTETS {
        return Err(wrong(
            path,
            &format!("has {size} octets: at most {MAX_OCTETS} are allowed"),
        ));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let is_yaml = path
        .extension()
        .is_some_and(|end| end == "yaml" || end == "yml");
    let raw = match is_yaml {
        // Without the lines around: passwords stand there.
        true => serde_yaml::from_str::<Vec<Raw>>(&text)
            .map_err(|error| error.without_snippet().to_string()),
        false => from_csv(&text),
    };
    let raw = raw.map_err(|error| wrong(path, &error))?;
    if raw.is_empty() || raw.len() > MAX_ROWS {
        let text = format!("has {} accounts: 1 to {MAX_ROWS} are allowed", raw.len());
        return Err(wrong(path, &text));
    }
    let rows = raw
        .into_iter()
        .enumerate()
        .map(|(index, raw)| row(raw, index + 1));
    rows.collect::<Result<Vec<Row>, String>>()
        .map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {error}", path.display())).hint(
        "CSV with the head `address,user,password` (of address, from, user, password, passwordFile, oauthTokenFile), or YAML with a list of the same",
    )
}

fn row(raw: Raw, number: usize) -> Result<Row, String> {
    let at = |error: String| format!("account {number}: {error}");
    let address = MailboxAddress::parse(&raw.address)
        .map_err(|error| at(format!("address {:?}: {error}", raw.address)))?;
    let from = raw.from.map(|from| Place::parse(&from)).transpose();
    Ok(Row {
        address,
        from: from.map_err(|error| at(format!("from: {error}")))?,
        user: raw.user,
        password: raw.password.map(Zeroizing::new),
        password_file: raw.password_file.map(PathBuf::from),
        oauth_token_file: raw.oauth_token_file.map(PathBuf::from),
    })
}

fn from_csv(text: &str) -> Result<Vec<Raw>, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("it is empty")?;
    let head: Vec<String> = fields(head)?
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let mut rows = Vec::new();
    for (index, line) in lines {
        let at = |error: String| format!("line {}: {error}", index + 1);
        let values = fields(line).map_err(at)?;
        if values.len() != head.len() {
            return Err(at(format!(
                "found {} fields, the head has {}",
                values.len(),
                head.len()
            )));
        }
        let mut raw = Raw::default();
        for (name, value) in head.iter().zip(values) {
            set(&mut raw, name, value).map_err(at)?;
        }
        rows.push(raw);
    }
    Ok(rows)
}

fn set(raw: &mut Raw, name: &str, value: Zeroizing<String>) -> Result<(), String> {
    let given = (!value.is_empty()).then(|| value.to_string());
    match name {
        "address" => raw.address = value.to_string(),
        "from" => raw.from = given,
        "user" => raw.user = given,
        "password" => raw.password = given,
        "passwordFile" => raw.password_file = given,
        "oauthTokenFile" => raw.oauth_token_file = given,
        other => {
            return Err(format!(
                "found the column {other:?}; allowed: address, from, user, password, passwordFile, oauthTokenFile"
            ));
        }
    }
    Ok(())
}

/// RFC 4180 §2, without line ends in fields.
fn fields(line: &str) -> Result<Vec<Zeroizing<String>>, String> {
    let (mut fields, mut field) = (Vec::new(), Zeroizing::new(String::new()));
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    match quoted {
        true => Err("a quote is not closed".to_owned()),
        false => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<Row>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|failure| failure.to_string())
    }

    #[test]
    fn csv_and_yaml_say_the_same() {
        let csv = "address,user,password,from\r\na@b.test,\"a,b\",\"x\"\"y\",\r\n\r\nc@b.test,,,imaps://c@old.test\r\n";
        let yaml = "- {address: a@b.test, user: 'a,b', password: 'x\"y'}\n- {address: c@b.test, from: 'imaps://c@old.test'}\n";
        for (name, text) in [("list.csv", csv), ("list.yaml", yaml)] {
            let rows = read_text(name, text).unwrap();
            assert_eq!(rows.len(), 2, "{name}");
            assert_eq!(rows[0].user.as_deref(), Some("a,b"), "{name}");
            assert_eq!(
                rows[0].password.as_ref().unwrap().as_str(),
                "x\"y",
                "{name}"
            );
            assert!(rows[1].user.is_none() && rows[1].from.is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (name, text, words) in [
            (
                "a.csv",
                "address,pass\na@b.test,x\n",
                ["line 2", "\"pass\""],
            ),
            ("a.csv", "address,user\na@b.test\n", ["line 2", "1 fields"]),
            ("a.csv", "address\nnobody\n", ["account 1", "address"]),
            ("a.csv", "address,user\na@b.test,\"x\n", ["line 2", "quote"]),
            (
                "a.yml",
                "- {address: a@b.test, pass: secret}\n",
                ["pass", "a.yml"],
            ),
            ("a.csv", "", ["empty", "a.csv"]),
        ] {
            let Err(error) = read_text(name, text) else {
                panic!("{text} is taken");
            };
            assert!(
                words.iter().all(|word| error.contains(word)),
                "{text}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

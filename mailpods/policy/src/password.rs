//! Passwords that attackers try on every account (RFC 9051 §11.7).

/// What stands at the head of every published list of leaked passwords, sorted, in lower case.
#[rustfmt::skip]
const SPRAYED: &[&str] = &[
    "000000", "00000000", "0987654321", "102030", "11111", "111111", "1111111", "11111111",
    "112233", "11223344", "121212", "123", "123123", "123123123", "123321", "1234", "12341234",
    "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "12345678910", "123456a",
    "123456q", "1234abcd", "1234qwer", "123654", "123abc", "123qwe", "131313", "147258369",
    "159753", "18atcskd2w", "1q2w3e", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "222222", "333333",
    "3rjs1la7qe", "444444", "555555", "654321", "666666", "696969", "777777", "7777777",
    "87654321", "888888", "88888888", "987654321", "999999", "a123456", "a1b2c3", "aa123456",
    "aa12345678", "aaaaaa", "abc123", "abcd1234", "admin", "admin123", "administrator",
    "alexander", "amanda", "andrew", "angel", "anthony", "asdasd", "asdf1234", "asdfgh",
    "asdfghjkl", "ashley", "azerty", "babygirl", "bailey", "baseball", "basketball", "batman",
    "buster", "butterfly", "changeme", "charlie", "cheese", "chocolate", "company123", "computer",
    "cookie", "daniel", "default", "donald", "dragon", "family", "flower", "football", "freedom",
    "friends", "fuckyou", "george", "ginger", "google", "guest", "hannah", "harley", "hello",
    "hello123", "hockey", "hunter", "iloveyou", "internet", "jennifer", "jessica", "jordan",
    "joshua", "killer", "letmein", "liverpool", "login", "lovely", "loveme", "maggie", "master",
    "matthew", "merlin", "michael", "michelle", "monkey", "mustang", "mynoob", "nicole", "ninja",
    "nothing", "p@ssw0rd", "p@ssword", "pass", "pass123", "pass1234", "passw0rd", "password",
    "password!", "password1", "password1!", "password12", "password123", "password123!", "pepper",
    "pokemon", "princess", "purple", "qazwsx", "qwe123", "qwer1234", "qwert", "qwerty", "qwerty1",
    "qwerty12", "qwerty123", "qwertyuiop", "ranger", "robert", "root", "samantha", "samsung",
    "secret", "shadow", "soccer", "spring2024", "spring2025", "spring2026", "starwars", "summer",
    "summer2024", "summer2025", "summer2026", "sunshine", "superman", "taylor", "test", "test123",
    "thomas", "tigger", "toor", "trustno1", "user", "welcome", "welcome1", "welcome123",
    "whatever", "william", "winter2024", "winter2025", "winter2026", "zaq12wsx", "zxcvbn",
    "zxcvbnm",
];

/// Whether a password is one of those that attackers try on every account. Whoever has it must change it: accounts with such a
/// password are blocked.
#[must_use]
pub fn is_sprayed(password: &[u8]) -> bool {
    let lower = password.to_ascii_lowercase();
    SPRAYED
        .binary_search_by(|entry| entry.as_bytes().cmp(&lower))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_in_lower_case() {
        assert!(SPRAYED.is_sorted());
        assert!(
            SPRAYED
                .iter()
                .all(|entry| entry.to_ascii_lowercase() == **entry)
        );
    }

    #[test]
    fn well_known_passwords_are_found_in_any_case() {
        assert!(is_sprayed(b"123456") && is_sprayed(b"Password1"));
        assert!(!is_sprayed(b"quickstart") && !is_sprayed(b"") && !is_sprayed(b"123456 "));
    }
}

use proptest::prelude::*;

use super::*;

fn keys(octet: u8) -> Keys {
    let mut keys = Keys::default();
    keys.rotate(Zeroizing::new([octet; KEY]), 0);
    keys
}

fn local(address: &str) -> &str {
    address.rsplit_once('@').unwrap().0
}

#[test]
fn a_forwarded_sender_leads_back() {
    let keys = keys(1);
    let rewritten = keys
        .forward("Alice+tag=x@a.example", "here.example", 5 * DAY)
        .unwrap();
    assert!(
        rewritten.starts_with("SRS0=")
            && rewritten.ends_with("=af=a.example=Alice+tag=x@here.example"),
        "{rewritten}"
    );
    let back = keys.reverse(local(&rewritten), 20 * DAY);
    assert_eq!(back, Some(Ok("Alice+tag=x@a.example".to_owned())));
    assert_eq!(keys.reverse("alice", 0), None);
    assert_eq!(keys.reverse("SRS0", 0), None);
    assert_eq!(keys.reverse("SRS00=a", 0), None);
}

#[test]
fn a_chain_of_forwarders_leads_back_to_the_first() {
    let (a, b, c) = (keys(1), keys(2), keys(3));
    let first = a.forward("alice@a.example", "one.example", 0).unwrap();
    let second = b.forward(&first, "two.example", 0).unwrap();
    assert!(second.starts_with("SRS1="), "{second}");
    let third = c.forward(&second, "three.example", 0).unwrap();
    assert!(third.len() <= second.len() + "three".len());
    let back = c.reverse(local(&third), 0).unwrap().unwrap();
    assert_eq!(back, first, "straight to the first forwarder");
    assert_eq!(
        a.reverse(local(&back), 0),
        Some(Ok("alice@a.example".to_owned()))
    );
}

#[test]
fn forged_and_old_addresses_do_not_lead_back() {
    let keys = keys(1);
    let made = keys.forward("alice@a.example", "here.example", 0).unwrap();
    let other = local(&made).replace("alice", "bob");
    assert_eq!(keys.reverse(&other, 0), Some(Err(SrsError::Forged)));
    let as_srs1 = local(&made).replace("SRS0", "SRS1");
    assert_eq!(keys.reverse(&as_srs1, 0), Some(Err(SrsError::Forged)));
    assert_eq!(keys.reverse("SRS0=x", 0), Some(Err(SrsError::Form)));
    assert_eq!(
        keys.reverse("SRS0==aa=a.example=alice", 0),
        Some(Err(SrsError::Forged))
    );
    let day = |days: i64| keys.reverse(local(&made), days * DAY);
    assert!(day(21).unwrap().is_ok());
    assert_eq!(day(22), Some(Err(SrsError::Expired)));
}

#[test]
fn letter_case_may_get_lost() {
    let keys = keys(1);
    let made = keys.forward("alice@a.example", "here.example", 0).unwrap();
    for changed in [local(&made).to_uppercase(), local(&made).to_lowercase()] {
        let back = keys.reverse(&changed, 0).unwrap().unwrap();
        assert!(back.eq_ignore_ascii_case("alice@a.example"), "{back}");
    }
}

#[test]
fn keys_rotate_and_old_ones_check_until_their_addresses_expire() {
    let mut keys = Keys::default();
    assert!(keys.is_due(0));
    keys.rotate(Zeroizing::new([1; KEY]), 0);
    assert!(!keys.is_due(29 * DAY) && keys.is_due(30 * DAY));
    let old = keys
        .forward("alice@a.example", "here.example", 29 * DAY)
        .unwrap();
    keys.rotate(Zeroizing::new([2; KEY]), 30 * DAY);
    assert!(keys.reverse(local(&old), 40 * DAY).unwrap().is_ok());
    keys.rotate(Zeroizing::new([3; KEY]), 60 * DAY);
    assert_eq!(keys.0.len(), 2, "the first key's addresses are all expired");
    assert_eq!(
        keys.reverse(local(&old), 60 * DAY),
        Some(Err(SrsError::Forged))
    );
}

#[test]
fn keys_are_kept_as_octets_and_never_shown() {
    let mut keys = keys(9);
    keys.rotate(Zeroizing::new([4; KEY]), 30 * DAY);
    let again = Keys::from_octets(&keys.to_octets()).unwrap();
    let made = keys.forward("a@b.test", "here.example", 30 * DAY).unwrap();
    assert!(again.reverse(local(&made), 30 * DAY).unwrap().is_ok());
    assert_eq!(again.0.len(), 2);
    assert_eq!(again.0[0].made, 30 * DAY);
    assert!(Keys::from_octets(&[0; KEY]).is_none());
    assert_eq!(format!("{:?}", again.0[1]), "Key(made 0)");
}

#[test]
fn an_address_that_would_be_too_long_is_not_rewritten() {
    let sender = format!("{}@a.example", "a".repeat(60));
    assert_eq!(
        keys(1).forward(&sender, "here.example", 0),
        Err(SrsError::TooLong)
    );
    assert_eq!(
        Keys::default().forward("a@b.test", "here.example", 0),
        Err(SrsError::Form)
    );
}

proptest! {
    #[test]
    fn what_goes_comes_back(local_part in "[a-z0-9.=+_-]{1,30}", day in 0i64..5_000) {
        prop_assume!(tail(&local_part, "SRS0").is_none() && tail(&local_part, "SRS1").is_none());
        let sender = format!("{local_part}@a.example");
        let made = keys(7).forward(&sender, "h.example", day * DAY).unwrap();
        prop_assert_eq!(keys(7).reverse(local(&made), (day + 21) * DAY), Some(Ok(sender)));
        prop_assert_eq!(keys(8).reverse(local(&made), day * DAY), Some(Err(SrsError::Forged)));
    }

    #[test]
    fn nothing_that_is_sent_panics_or_leads_anywhere(text in "[Ss][Rr][Ss][01][=+-].{0,60}") {
        let result = keys(1).reverse(&text, 0);
        prop_assert!(matches!(result, Some(Err(_))));
    }
}

//! How what a provider takes at once is divided among the processes that send to it.

/// What a process wants of a limit and what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// It could use so much now.
    pub wanted: u32,
    /// It may be using so much until it asks again.
    pub held: u32,
}

/// The share of each process in a limit: nobody gets more than it wants, and no more than another one whose want is not met, by one at
/// most. That one goes to others from turn to turn, so that each has its time where there are fewer places than processes.
#[must_use]
pub fn fair(limit: u32, wanted: &[u32], turn: u64) -> Vec<u32> {
    let taken_at = |level: u32| -> u64 {
        wanted
            .iter()
            .map(|want| u64::from((*want).min(level)))
            .sum()
    };
    // The highest level that all can be served up to.
    let (mut level, mut above) = (0, limit);
    while level < above {
        let middle = level + (above - level).div_ceil(2);
        if taken_at(middle) <= u64::from(limit) {
            level = middle;
        } else {
            above = middle - 1;
        }
    }
    let mut shares: Vec<u32> = wanted.iter().map(|want| (*want).min(level)).collect();
    let mut left = u64::from(limit).saturating_sub(taken_at(level));
    let count = wanted.len();
    let first = turn
        .checked_rem(count as u64)
        .and_then(|first| usize::try_from(first).ok())
        .unwrap_or(0);
    for at in (0..count).map(|step| (first + step) % count) {
        if let (Some(share), Some(want)) = (shares.get_mut(at), wanted.get(at))
            && left > 0
            && *share < *want
        {
            *share += 1;
            left -= 1;
        }
    }
    shares
}

/// What one of the processes may use from now on: its share, as far as others have let go of it.
#[must_use]
pub fn grant(limit: u32, claims: &[Claim], me: usize, turn: u64) -> u32 {
    let wanted: Vec<u32> = claims.iter().map(|claim| claim.wanted).collect();
    let share = fair(limit, &wanted, turn).get(me).copied().unwrap_or(0);
    let others = claims.iter().enumerate().filter(|(at, _)| *at != me);
    let held = others.fold(0u32, |held, (_, claim)| held.saturating_add(claim.held));
    share.min(limit.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_wants_little_leaves_the_rest_to_others() {
        assert_eq!(fair(10, &[2, 20, 20], 0), [2, 4, 4]);
        assert_eq!(fair(10, &[1, 1], 0), [1, 1]);
        assert_eq!(fair(10, &[20], 0), [10]);
        assert_eq!(fair(0, &[1], 0), [0]);
        assert_eq!(fair(3, &[], 0), [0; 0]);
    }

    #[test]
    fn what_cannot_be_divided_goes_round() {
        assert_eq!(fair(1, &[5, 5, 5], 0), [1, 0, 0]);
        assert_eq!(fair(1, &[5, 5, 5], 1), [0, 1, 0]);
        assert_eq!(fair(1, &[5, 0, 5], 1), [0, 0, 1]);
        assert_eq!(fair(5, &[5, 5], 3), [2, 3]);
    }

    #[test]
    fn nobody_takes_what_another_one_still_uses() {
        let claim = |wanted, held| Claim { wanted, held };
        let claims = [claim(10, 0), claim(10, 8)];
        assert_eq!(grant(10, &claims, 0, 0), 2);
        assert_eq!(grant(10, &claims, 1, 0), 5);
        assert_eq!(grant(10, &[claim(10, 0), claim(10, 5)], 0, 0), 5);
    }

    proptest! {
        #[test]
        fn all_is_given_and_no_more(limit in 0u32..50, wanted in prop::collection::vec(0u32..30, 0..8), turn: u64) {
            let shares = fair(limit, &wanted, turn);
            let all: u32 = wanted.iter().sum();
            prop_assert_eq!(shares.iter().sum::<u32>(), all.min(limit));
            for (share, want) in shares.iter().zip(&wanted) {
                prop_assert!(share <= want);
                if share < want {
                    prop_assert!(shares.iter().all(|other| *other <= share + 1));
                }
            }
        }

        /// Processes ask one after the other, again and again: together they never have more than the limit.
        #[test]
        fn together_they_keep_to_the_limit(limit in 1u32..20, asks in prop::collection::vec((0usize..4, 0u32..30), 1..60)) {
            let mut claims = [Claim { wanted: 0, held: 0 }; 4];
            for (turn, (me, wanted)) in asks.into_iter().enumerate() {
                claims[me].wanted = wanted;
                claims[me].held = grant(limit, &claims, me, turn as u64);
                prop_assert!(claims.iter().map(|claim| claim.held).sum::<u32>() <= limit);
            }
        }
    }
}

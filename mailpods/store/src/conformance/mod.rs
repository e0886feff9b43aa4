//! What every back end must do: checks over a [`Store`] that its tests run, each with an empty store.
//!
//! They are ordinary functions, so that a back end in another crate or process runs the same ones.

mod accounts;
mod annotations;
mod bodies;
mod fixtures;
mod flags;
mod large;
mod leases;
mod locks;
mod mailboxes;
mod migrations;
mod operators;
mod queue;
mod quotas;
mod replacing;
mod scripts;
mod secrets;
mod settling;
mod sharing;
mod tokens;
mod trace;
mod uidls;
mod upkeep;
mod watching;

use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;

use crate::{Store, StoreError};

/// What a check found wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("the store failed: {error}"))
    }
}

/// How a check ends.
pub type Outcome = Result<(), Failure>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A check with its name.
#[derive(Clone, Copy)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    run: fn(Store) -> Running,
}

impl Check {
    /// Runs the check against an empty store.
    ///
    /// # Errors
    /// What was found wrong.
    pub async fn run(&self, store: Store) -> Outcome {
        (self.run)(store).await
    }
}

macro_rules! checks {
    ($($module:ident :: $name:ident,)+) => {
        /// All checks.
        pub const CHECKS: &[Check] = &[$(Check {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |store| Box::pin($module::$name(store)),
        },)+];
    };
}

checks! {
    accounts::new_account_has_default_mailboxes,
    accounts::account_is_found_again_whatever_its_case,
    accounts::a_deleted_account_leaves_nothing_behind,
    bodies::octets_come_back_whole_and_in_ranges,
    bodies::several_are_read_together,
    bodies::shared_body_lives_until_its_last_reference,
    bodies::meta_is_kept_or_computed,
    bodies::unknown_body_is_not_found,
    bodies::signatures_tell_where_a_text_may_be,
    bodies::bodies_without_a_signature_are_signed_later,
    annotations::they_come_back_and_go,
    annotations::they_are_bounded_together,
    mailboxes::names_are_checked_and_inbox_has_any_case,
    mailboxes::parents_are_made,
    mailboxes::deleted_mailbox_comes_back_with_a_greater_uid_validity,
    mailboxes::rename_takes_those_below_along,
    mailboxes::rename_of_inbox_moves_its_messages,
    mailboxes::subscriptions_outlive_mailboxes,
    mailboxes::uids_ascend_and_are_never_used_again,
    migrations::uids_are_kept_where_nothing_came_before,
    migrations::a_delivery_in_between_ends_the_keeping,
    migrations::mail_after_the_first_pass_meets_no_later_one,
    migrations::nothing_comes_twice,
    migrations::a_uid_validity_is_taken_over_once,
    migrations::what_cannot_be_is_refused,
    flags::each_change_raises_the_modseq_once,
    flags::the_table_of_flags_follows_every_change,
    flags::unchanged_since_leaves_later_changes_alone,
    flags::keywords_keep_their_case,
    flags::changed_since_and_vanished_tell_what_happened,
    mailboxes::messages_are_found_by_their_uids,
    mailboxes::what_an_opened_mailbox_has_is_told_at_once,
    flags::counts_follow_the_flags,
    flags::copy_and_move_keep_flags_and_dates,
    flags::move_into_the_same_mailbox_gives_new_uids,
    large::what_is_remembered_follows_every_change,
    replacing::a_message_takes_the_place_of_another,
    replacing::both_or_neither,
    replacing::messages_know_when_they_were_saved,
    quotas::append_is_all_or_none,
    quotas::appends_at_once_cannot_exceed_the_quota,
    quotas::usage_follows_every_change,
    quotas::the_last_message_may_go_beyond_by_the_grace,
    quotas::trash_has_room_of_its_own,
    quotas::what_a_domain_leaves_is_not_exceeded,
    queue::message_has_a_unit_for_each_destination,
    queue::enqueue_is_all_or_none,
    queue::the_same_id_is_refused,
    queue::busy_destinations_are_passed_over,
    queue::a_backlog_does_not_keep_others_waiting,
    queue::each_tenant_has_one_unit_at_hand,
    queue::next_due_tells_the_next_time,
    leases::a_leased_unit_is_not_leased_again,
    leases::an_expired_lease_is_taken_over,
    leases::tenants_take_turns_where_there_is_more,
    leases::turns_leave_nothing_behind,
    leases::what_a_tenant_sent_to_a_destination_keeps_its_order,
    leases::a_destination_gives_no_more_than_is_wanted,
    leases::more_destinations_than_are_leased_come_in_their_order,
    leases::nothing_is_forgotten_by_many_workers,
    leases::heartbeats_and_hand_backs_do_not_hurt_each_other,
    leases::a_lease_is_extended_and_handed_back,
    settling::what_did_not_happen_is_no_attempt,
    settling::delivery_and_settlement_are_one,
    settling::a_failed_settlement_changes_nothing_and_hurts_no_other,
    settling::nothing_is_settled_twice,
    settling::recipients_left_are_tried_again,
    settling::new_messages_come_with_the_settlement,
    settling::one_body_serves_all_mailboxes,
    operators::filters_match_together,
    operators::hold_release_retry_and_bounce,
    operators::delete_passes_leased_units_over,
    operators::totals_count_units,
    operators::the_mail_of_a_suspended_sender_waits,
    tokens::takes_are_all_or_nothing,
    tokens::what_is_given_back_can_be_taken_again,
    tokens::windows_are_weighted,
    tokens::takes_at_once_cannot_exceed_the_limit,
    tokens::waiting_as_told_is_enough,
    tokens::bans_end_and_are_forgotten,
    scripts::scripts_are_kept_for_their_owner,
    scripts::one_script_is_active,
    scripts::scripts_have_a_quota,
    scripts::delivery_hears_of_every_change,
    secrets::recipients_are_suppressed_for_a_sender_domain,
    secrets::secrets_come_back,
    secrets::the_first_of_two_writers_wins,
    secrets::what_another_has_changed_is_not_swapped,
    secrets::swaps_at_once_lose_nothing,
    secrets::changes_at_once_lose_nothing,
    secrets::tidying_passes_over_what_cannot_be_read,
    secrets::credentials_are_replaced,
    trace::events_are_found_by_each_key,
    trace::the_newest_are_given_oldest_first,
    locks::a_lock_has_one_holder,
    locks::a_lock_ends_with_its_time,
    locks::locks_of_a_holder_are_held_together,
    locks::one_of_many_gets_a_lock,
    uidls::names_stay_with_their_messages,
    uidls::names_have_the_form_of_rfc_1939,
    sharing::lists_say_who_may_do_what,
    sharing::lists_are_bounded,
    sharing::each_reader_has_a_seen_of_its_own,
    sharing::a_reader_hears_of_its_own_changes,
    sharing::what_was_seen_is_counted_and_goes,
    sharing::flags_go_along_as_far_as_they_may,
    upkeep::accounts_come_in_pages_with_what_was_told,
    upkeep::a_domain_is_added_up,
    upkeep::old_messages_go_by_when_they_came_in,
    watching::changes_wake_those_who_wait,
    watching::an_account_is_watched_as_a_whole,
    watching::settings_are_watched_apart_from_mail,
}

/// Fails with `what` unless both are equal.
fn same<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    if found == wanted {
        Ok(())
    } else {
        Err(Failure(format!(
            "{what}: found {found:?}, wanted {wanted:?}"
        )))
    }
}

/// Fails with `what` unless it holds.
fn holds(what: &str, condition: bool) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(Failure(what.to_owned()))
    }
}

/// Fails unless `result` is the error that `matches` looks for.
fn fails<T: Debug>(
    what: &str,
    result: Result<T, StoreError>,
    matches: impl FnOnce(&StoreError) -> bool,
) -> Outcome {
    match result {
        Err(error) if matches(&error) => Ok(()),
        other => Err(Failure(format!("{what}: {other:?}"))),
    }
}

/// What must be there.
fn some<T>(what: impl Display, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure(format!("{what} is missing")))
}

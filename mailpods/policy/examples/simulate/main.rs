//! Sends a million messages in virtual time to ten providers that judge by reputation, three times: in turn over all addresses, with
//! fixed limits for each provider, and by the policies of this crate. The same seed gives the same messages and the same table.
//!
//! `cargo xtask simulate [--messages N] [--seed N]`

mod receiver;
mod report;
mod sender;
mod world;

use std::process::ExitCode;

/// What is asked for.
struct Options {
    messages: usize,
    seed: u64,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        messages: 1_000_000,
        seed: 1,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--messages", Some(value)) => {
                options.messages = usize::try_from(value).map_err(|error| error.to_string())?;
            }
            ("--seed", Some(value)) => options.seed = value,
            _ => {
                return Err(format!(
                    "{name}: wrong; allowed: --messages NUMBER, --seed NUMBER"
                ));
            }
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let results = results(options)?;
    print!(
        "{}",
        report::table(options.messages, options.seed, &results)
    );
    Ok(())
}

fn results(options: &Options) -> Result<[world::Result; 3], String> {
    let profiles = mailpods_policy::outbound::provider::Profiles::shipped()
        .map_err(|error| error.to_string())?;
    Ok([
        sender::Habit::Turns,
        sender::Habit::FixedLimits,
        sender::Habit::Mailpods,
    ]
    .map(|habit| world::World::new(options, habit, &profiles).run()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Options = Options {
        messages: 200_000,
        seed: 3,
    };

    #[test]
    fn a_seed_gives_one_table_and_policies_beat_habits() {
        let first = results(&SMALL).unwrap();
        let again = results(&SMALL).unwrap();
        let table = |results| report::table(SMALL.messages, SMALL.seed, results);
        assert_eq!(table(&first), table(&again));
        let within =
            |result: &world::Result| result.waits.partition_point(|wait| *wait <= 3_600_000);
        let [turns, fixed, mailpods] = first;
        for other in [turns, fixed] {
            assert!(within(&mailpods) > within(&other));
            assert!(mailpods.refused * 2 < other.refused);
        }
    }
}

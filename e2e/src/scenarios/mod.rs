//! The scenarios, in the order in which a new user would meet them. Each one leaves the cluster as the next one expects it.

pub mod mail;
mod system;
mod t01_cluster;
mod t02_resources;
mod t03_dns;
mod t04_one_pod;
mod t05_install;
mod t06_inbound;
mod t07_outbound;
mod t08_spf_template;
mod t09_dkim_rotation;
mod t10_certificate;
mod t11_kills;
mod t12_upgrade;
mod t13_embedded;
mod t14_stalled;
mod t15_egress;
mod t16_uninstall;
mod t17_providers;
mod tools;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::cluster;
use crate::world::{self, World};

/// Options of `cargo xtask e2e`.
#[derive(Args)]
pub struct Options {
    /// Run these scenarios only, by name or by the start of it; may be given several times.
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Leave cluster and world running for a look around, where a scenario needed them.
    #[arg(long)]
    keep: bool,
    /// Name the scenarios and what each shows.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    cluster: cluster::Choice,
}

/// One scenario.
struct Scenario {
    name: &'static str,
    /// What it shows.
    shows: &'static str,
    run: Run,
}

/// How it runs.
enum Run {
    /// With the cluster and the world around it.
    Cluster(fn(&World) -> Result<()>),
    /// With nothing but this machine.
    Alone(fn() -> Result<()>),
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "t00_charts",
        shows: "the charts are sound, and every object of theirs and of the operator's fits the schema of its kind",
        run: Run::Alone(crate::charts::check),
    },
    Scenario {
        name: "t01_cluster",
        shows: "pods run, find each other by name, keep files, and answer at an address of a load balancer",
        run: Run::Cluster(t01_cluster::run),
    },
    Scenario {
        name: "t02_resources",
        shows: "the API server takes our definitions, shows our columns, and refuses mistakes with a message that helps",
        run: Run::Cluster(t02_resources::run),
    },
    Scenario {
        name: "t03_dns",
        shows: "every kind of record reaches DNS exactly, follows changes, and goes away",
        run: Run::Cluster(t03_dns::run),
    },
    Scenario {
        name: "t04_one_pod",
        shows: "the image is a whole mail system in one pod: mail arrives by our MX, is read over IMAP, and leaves signed",
        run: Run::Cluster(t04_one_pod::run),
    },
    Scenario {
        name: "t05_install",
        shows: "two charts and three files make a mail system, and DNS shows it",
        run: Run::Cluster(t05_install::run),
    },
    Scenario {
        name: "t06_inbound",
        shows: "a strange mail server finds our MX, its mail is read over IMAP, an unknown user is refused at RCPT",
        run: Run::Cluster(t06_inbound::run),
    },
    Scenario {
        name: "t07_outbound",
        shows: "our user's mail arrives outside, independent verifiers of DKIM and SPF pass it, and `kubectl mailpods` tells of it",
        run: Run::Cluster(t07_outbound::run),
    },
    Scenario {
        name: "t08_spf_template",
        shows: "a new SPF template reaches every domain that receives here, and those alone",
        run: Run::Cluster(t08_spf_template::run),
    },
    Scenario {
        name: "t09_dkim_rotation",
        shows: "DKIM keys are rotated under traffic, and no message fails verification",
        run: Run::Cluster(t09_dkim_rotation::run),
    },
    Scenario {
        name: "t10_certificate",
        shows: "a new certificate is served at once, and no session is dropped",
        run: Run::Cluster(t10_certificate::run),
    },
    Scenario {
        name: "t11_kills",
        shows: "pods, operator and database are killed under load, and what was acknowledged arrives once",
        run: Run::Cluster(t11_kills::run),
    },
    Scenario {
        name: "t12_upgrade",
        shows: "a rolling upgrade refuses no connection, and loses and doubles no message",
        run: Run::Cluster(t12_upgrade::run),
    },
    Scenario {
        name: "t13_embedded",
        shows: "one pod with a volume is a mail system too, keeps its mail, and `kubectl mailpods` works in it",
        run: Run::Cluster(t13_embedded::run),
    },
    Scenario {
        name: "t14_stalled",
        shows: "mistakes that only the operator can see are told in the status, and stop nothing else",
        run: Run::Cluster(t14_stalled::run),
    },
    Scenario {
        name: "t15_egress",
        shows: "our user's mail leaves from an address of a node, by its egress proxy, and elsewhere when the address is taken away",
        run: Run::Cluster(t15_egress::run),
    },
    Scenario {
        name: "t16_uninstall",
        shows: "a deleted domain leaves DNS and keeps its mail; uninstalling keeps definitions and resources",
        run: Run::Cluster(t16_uninstall::run),
    },
    Scenario {
        name: "t17_providers",
        shows: "an address that one of ten providers refuses rests there alone and comes back, standby holds, and no mail leaves from what SPF does not show",
        run: Run::Alone(t17_providers::run),
    },
];

/// Runs the scenarios that are asked for.
pub fn run(options: &Options) -> Result<()> {
    let chosen = options.chosen()?;
    if options.list {
        for scenario in chosen {
            println!("{}: {}", scenario.name, scenario.shows);
        }
        return Ok(());
    }
    match chosen.iter().any(|scenario| scenario.needs_cluster()) {
        true => run_with_cluster(&chosen, options),
        false => run_all(&chosen, None),
    }
}

fn run_with_cluster(chosen: &[&Scenario], options: &Options) -> Result<()> {
    let cluster = options.cluster.cluster()?;
    let made_here = !cluster.answers();
    cluster.up()?;
    let world = World::new(cluster)?;
    let outcome = run_all(chosen, Some(&world));
    if options.keep {
        println!("export KUBECONFIG={}", world.kubectl.kubeconfig().display());
        return outcome;
    }
    let ended = world::end(&world.cluster).and_then(|()| match made_here {
        true => world.cluster.down(),
        false => Ok(()),
    });
    outcome.and(ended.context("the scenarios passed, but tidying up failed"))
}

impl Scenario {
    fn needs_cluster(&self) -> bool {
        matches!(self.run, Run::Cluster(_))
    }

    fn play(&self, world: Option<&World>) -> Result<()> {
        match self.run {
            Run::Cluster(run) => run(world.context("there is no cluster")?),
            Run::Alone(run) => run(),
        }
    }
}

impl Options {
    fn chosen(&self) -> Result<Vec<&'static Scenario>> {
        let wanted = |scenario: &&Scenario| {
            self.only.is_empty() || self.only.iter().any(|name| scenario.name.starts_with(name))
        };
        for name in &self.only {
            ensure!(
                SCENARIOS.iter().any(|s| s.name.starts_with(name)),
                "no scenario is called `{name}`; there are: {}",
                SCENARIOS
                    .iter()
                    .map(|s| s.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
        Ok(SCENARIOS.iter().filter(wanted).collect())
    }
}

fn run_all(scenarios: &[&Scenario], world: Option<&World>) -> Result<()> {
    for scenario in scenarios {
        let started = Instant::now();
        eprintln!("\n=== {}: {}", scenario.name, scenario.shows);
        if let Err(error) = scenario.play(world) {
            println!("FAILED {}", scenario.name);
            bail!("{}: {error:#}", scenario.name);
        }
        println!("ok {} ({} s)", scenario.name, started.elapsed().as_secs());
    }
    println!(
        "{} of {} scenarios passed",
        scenarios.len(),
        scenarios.len()
    );
    Ok(())
}

//! What an operator wants of an address.
use std::time::Duration;

use mailpods_delivery::ips::kept;
use mailpods_policy::outbound::life::Order;

use super::Named;
use crate::args::Globals;
use crate::failure::{Exit, Outcome};
use crate::output;
use crate::session::failed;
use crate::time;

#[derive(Debug, clap::Args)]
pub struct Rest {
    #[command(flatten)]
    named: Named,
    /// For mail to this provider alone (`mailpods route DOMAIN` tells its name).
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// How long.
    #[arg(long = "for", value_parser = time::parse_span, default_value = "1h", value_name = "SPAN")]
    span: Duration,
}

impl Rest {
    pub fn run(self, globals: &Globals) -> Outcome {
        let span = i64::try_from(self.span.as_millis()).unwrap_or(i64::MAX);
        let order = Order::Rest {
            provider: self.provider,
            until: time::now().saturating_add(span),
        };
        give(&self.named, &order, globals)
    }
}

pub fn give(named: &Named, order: &Order, globals: &Globals) -> Outcome {
    named.config.with_plan(globals, |store, plan| async move {
        let ip = named.ip(&plan)?;
        kept::give(store.secrets.as_ref(), &ip.name, order)
            .await
            .map_err(|error| failed("failed to leave the order", &error))?;
        output::remark(&format!(
            "{} ({}): the server does it within a second, or when it starts.",
            ip.name, ip.address
        ));
        Ok(Exit::Done)
    })
}

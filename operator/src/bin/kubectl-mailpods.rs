//! The `kubectl mailpods` command.

use std::io::Write as _;
use std::process::exit;

use mailpods_operator::plugin::{Options, PluginError, TOOLS, run};
use mailpods_telemetry::error_chain;

const USAGE: &str = "\
Runs a tool of Mailpods in a pod of a MailCluster, by the API server.

Usage: kubectl mailpods [OPTIONS] TOOL [ARGUMENTS]

Options, anywhere on the line:
  -n, --namespace NAMESPACE   of the MailCluster; that of the context when left out
      --mailcluster NAME      the MailCluster, where a namespace has several
      --context NAME          context of the kubeconfig
      --kubeconfig FILE       the kubeconfig, in place of KUBECONFIG
  --                          what stands behind is the tool's

Tools:
";

const EXAMPLES: &str = "
`kubectl mailpods TOOL --help` tells more. Exit codes are those of the tool.

Examples:
  kubectl mailpods -n mail queue top
  kubectl mailpods ip explain one
  kubectl mailpods explain gmail.com --from bob@example.org
  kubectl mailpods trace bob@example.test
  kubectl mailpods verify - --client-ip 192.0.2.1 < message.eml
";

/// Not run, or not to its end: none of a tool's own codes.
const NOT_RUN: i32 = 125;

fn main() {
    let code = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => run_to_end(&options),
        Ok(None) => help(),
        Err(error) => tell(&error),
    };
    // A thread may still wait for input.
    exit(code)
}

fn run_to_end(options: &Options) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => match runtime.block_on(run(options)) {
            Ok(code) => code.into(),
            Err(error) => tell(&error),
        },
        Err(error) => tell(&PluginError::Io(error)),
    }
}

fn help() -> i32 {
    let tools: String = TOOLS
        .iter()
        .map(|(name, what)| format!("  {name:<26}{what}\n"))
        .collect();
    let written = std::io::stdout().write_all(format!("{USAGE}{tools}{EXAMPLES}").as_bytes());
    i32::from(written.is_err())
}

fn tell(error: &PluginError) -> i32 {
    eprintln!("error: {}", error_chain(error));
    if let Some(hint) = error.hint() {
        eprintln!("  try: {hint}");
    }
    NOT_RUN
}

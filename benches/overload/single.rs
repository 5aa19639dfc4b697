//! The generator by itself: one load on a server that somebody else started.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Cli;
use crate::arrivals::Phase;
use crate::outcome::Outcome;
use crate::table::Table;
use crate::{plan, point};

/// Loads `target` and prints how the requests ended.
pub(crate) fn run(cli: &Cli, target: SocketAddr) -> Result<(), String> {
    let rate = cli.rate.ok_or("give a --rate in requests per second")?;
    let time = Duration::from_secs_f64(cli.seconds());
    let mut plan = plan::usual(target, cli.sources);
    plan.phases.push(Phase { rate, time, retries: cli.retries, counted: true });
    cli.fit(&mut plan);
    let load = std::thread::scope(|scope| scope.spawn(|| point::send(&plan)).join());
    let report = load.map_err(|_| "the generator panicked")??;

    println!("offered {rate}/s for {time:?}: {:.1}/s in time\n", report.goodput());
    let mut table = Table::new(&["outcome", "attempts", "p50 ms", "p99 ms", "max ms"]);
    for outcome in Outcome::ALL {
        let Some(p50) = report.latency_ms(outcome, 0.5) else { continue };
        let latency = |quantile| report.latency_ms(outcome, quantile).unwrap_or(p50);
        let (p99, max) = (latency(0.99), latency(1.0));
        let count = report.count(outcome).to_string();
        let times = [p50, p99, max].map(|ms| format!("{ms:.2}"));
        table.row([vec![outcome.name().into(), count], times.to_vec()].concat());
    }
    print!("{}", table.render(cli.markdown));
    let (p50, p99) = (report.lag_ms(0.5), report.lag_ms(0.99));
    println!("\nthe generator lagged {p50:.3} ms at p50, {p99:.3} ms at p99");
    if let Some(reason) = report.void() {
        println!("VOID: {reason}; the figures tell nothing about the server");
    }
    Ok(())
}

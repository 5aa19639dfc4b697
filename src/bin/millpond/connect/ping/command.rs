//! `icmp:HOST`: sends echo requests one after the other, and prints each reply and a summary.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use millpond::net::{Endpoint, describe};

use super::pinger::Pinger;
use crate::connect::args::ConnectArgs;
use crate::connect::output::note;
use crate::failure::{Failure, code};
use crate::os::stdout::{Reader, print};

/// The payload without a MESSAGE. ping(8) sends 56 bytes, too.
const PAYLOAD: [u8; 56] = *b"millpond millpond millpond millpond millpond millpond 56";

pub(crate) fn run(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    from: Option<SocketAddr>,
    message: Option<&[u8]>,
) -> Result<ExitCode, Failure> {
    let payload = message.unwrap_or(&PAYLOAD);
    if payload.len() > 65_000 {
        let what = format!("invalid MESSAGE of {} bytes: expected at most 65000", payload.len());
        return Err(Failure::new(code::USAGE, what).with_hint("an echo request has no more room"));
    }
    let mut pinger = Pinger::open(endpoint, from, args.own_header.then_some(args.ttl))?;
    if args.verbose {
        let kind = if pinger.is_raw() { "a raw socket" } else { "the ICMP datagram socket" };
        note(&format!("{endpoint}: {}, over {kind}", pinger.target()));
    }
    let mut tally = Tally::default();
    while tally.sent < args.count || args.count == 0 {
        let start = Instant::now();
        tally.sent += 1;
        let text = match pinger.ping(tally.sent as u16, payload, args.timeout) {
            Ok(reply) => {
                tally.add(reply.time);
                let ttl = reply.ttl.map_or(String::new(), |ttl| format!(" ttl={ttl}"));
                let time = milliseconds(reply.time);
                let (bytes, from, seq) = (reply.bytes, reply.from, tally.sent);
                format!("{bytes} bytes from {from}: seq={seq}{ttl} time={time} ms\n")
            }
            Err(error) => format!("seq={}: {}\n", tally.sent, describe(&error)),
        };
        if print(text.as_bytes())? == Reader::Closed {
            break;
        }
        if tally.sent != args.count {
            std::thread::sleep(args.interval.saturating_sub(start.elapsed()));
        }
    }
    print(tally.summary().as_bytes())?;
    Ok(if tally.received > 0 { ExitCode::SUCCESS } else { ExitCode::from(code::RUNTIME) })
}

/// Counts and times of all requests. Its size does not depend on their number.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    received: u64,
    least: Duration,
    most: Duration,
    sum: Duration,
}

impl Tally {
    fn add(&mut self, time: Duration) {
        self.least = if self.received == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.sum += time;
        self.received += 1;
    }

    fn summary(&self) -> String {
        let Self { sent, received, .. } = self;
        let lost = 100.0 * (sent - received) as f64 / (*sent).max(1) as f64;
        let mut text = format!("{sent} sent, {received} received, {lost:.0}% lost");
        if self.received > 0 {
            let mean = self.sum.div_f64(self.received as f64);
            let [least, mean, most] = [self.least, mean, self.most].map(milliseconds);
            text.push_str(&format!("; least {least} ms, mean {mean} ms, most {most} ms"));
        }
        text.push('\n');
        text
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_loss_and_times() {
        let mut tally = Tally { sent: 4, ..Tally::default() };
        for time in [2, 1, 3] {
            tally.add(Duration::from_millis(time));
        }
        assert_eq!(
            tally.summary(),
            "4 sent, 3 received, 25% lost; least 1.000 ms, mean 2.000 ms, most 3.000 ms\n"
        );
        let no_reply = Tally { sent: 1, ..Tally::default() };
        assert_eq!(no_reply.summary(), "1 sent, 0 received, 100% lost\n");
    }
}

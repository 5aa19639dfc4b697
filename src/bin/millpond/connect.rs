//! `millpond connect`: the small client. Connects, sends, receives, prints, closes.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use millpond::net::{Endpoint, Stream};

/// Connects to a server, sends everything, prints what comes back
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    /// Where to connect: tcp://127.0.0.1:8888, unix:/run/millpond.sock, unix:@name
    endpoint: String,
    /// What to send; without it, what comes on standard input
    message: Option<String>,
    /// Seconds to wait, for the connection and for each piece of the answer
    #[arg(short = 'w', long, value_name = "SECONDS", default_value_t = 10.0)]
    timeout: f64,
    /// Print the bytes as they are, on a terminal too
    #[arg(long)]
    raw: bool,
}

/// Runs the client: 0, or 1 with one line that says what failed.
pub(crate) fn run(args: &ConnectArgs) -> ExitCode {
    let outcome = exchange(args);
    let mut stderr = io::stderr().lock();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { message, hint }) => {
            // Nothing is left to be done where even this cannot be written.
            let _ = writeln!(stderr, "error: {message}");
            if let Some(hint) = hint {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

struct Failed {
    message: String,
    hint: Option<String>,
}

impl From<millpond::Error> for Failed {
    fn from(error: millpond::Error) -> Self {
        Self { message: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

fn exchange(args: &ConnectArgs) -> Result<(), Failed> {
    let failed = |what: &str| {
        let endpoint = args.endpoint.clone();
        let what = what.to_owned();
        move |error: io::Error| Failed {
            message: format!("{what} {endpoint}: {error}"),
            hint: None,
        }
    };
    let timeout = Duration::try_from_secs_f64(args.timeout)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| Failed {
            message: format!("--timeout is {}", args.timeout),
            hint: Some("give it seconds, such as 2.5".to_owned()),
        })?;
    let endpoint: Endpoint = args.endpoint.parse()?;
    let mut stream = Stream::connect(&endpoint, Some(timeout))?;
    stream.set_timeout(Some(timeout));
    match &args.message {
        Some(message) => stream.send_all(message.as_bytes()).map_err(failed("cannot send to"))?,
        None => send_input(&stream, &failed("cannot send to"))?,
    }
    stream.shutdown_write().map_err(failed("cannot end sending to"))?;
    let mut stdout = io::stdout().lock();
    let pretty = args.message.is_some() && !args.raw && stdout.is_terminal();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut piece).map_err(failed("nothing received from"))?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &piece[..count];
        let written = match pretty {
            true => writeln!(stdout, "Received b\"{}\"", bytes.escape_ascii()),
            false => stdout.write_all(bytes),
        };
        written.and_then(|()| stdout.flush()).map_err(failed("cannot print what came from"))?;
    }
}

fn send_input(stream: &Stream, failed: &impl Fn(io::Error) -> Failed) -> Result<(), Failed> {
    let mut stdin = io::stdin().lock();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match stdin.read(&mut piece).map_err(failed)? {
            0 => return Ok(()),
            count => stream.send_all(&piece[..count]).map_err(failed)?,
        }
    }
}

//! Static files: millpond beside nginx and static-web-server, by the size of the file.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::contestant::Running;
use crate::process::{Process, free_port};
use crate::runner::{Sample, measure, ratio, time};
use crate::table::{Table, median};
use crate::wrk;

/// Names of the servers, in the order in which they run.
const NAMES: [&str; 3] = ["millpond", "nginx", "static-web-server"];

/// Settings of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct FilesArgs {
    /// The daemon to measure.
    #[arg(long, value_name = "PATH", default_value = "target/release/millpond")]
    millpond: PathBuf,
    /// nginx (Debian: `apt-get install nginx`).
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    nginx: PathBuf,
    /// static-web-server (`cargo install static-web-server`); left out where it is not found.
    #[arg(long, value_name = "PATH", default_value = "static-web-server")]
    static_web_server: PathBuf,
    /// Sizes of the files in bytes, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1024,65536,10485760")]
    sizes: Vec<usize>,
    /// Only these servers, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    conns: usize,
    /// How often everything is measured; the table has the medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Print tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Measures and prints.
pub(crate) fn run(args: &FilesArgs) -> Result<(), String> {
    let names: Vec<_> = NAMES.into_iter().filter(|name| takes_part(name, args)).collect();
    let dir = Directory::new(&args.sizes)?;
    let mut samples = vec![vec![Vec::new(); names.len()]; args.sizes.len()];
    for round in 0..args.rounds {
        for (at, size) in args.sizes.iter().enumerate() {
            for (who, name) in names.iter().enumerate() {
                eprintln!("round {}: {name}, {size} bytes", round + 1);
                let running = start(name, args, &dir.0)?.at(&size.to_string());
                wrk::run(&running.url(), args.conns, 1)?;
                samples[at][who].push(measure(&running, args.conns, args.seconds)?);
            }
        }
    }
    println!(
        "wrk -t1, {} connections, {} s, medians of {} rounds\n",
        args.conns, args.seconds, args.rounds
    );
    print!("{}", table(args, &names, &samples).render(args.markdown));
    Ok(())
}

fn takes_part(name: &str, args: &FilesArgs) -> bool {
    let program = program(name, args);
    let there = Command::new(program).arg("-V").output().is_ok();
    if !there {
        eprintln!("{name} is left out: there is no {}", program.display());
    }
    there && (args.only.is_empty() || args.only.iter().any(|only| only == name))
}

fn program<'a>(name: &str, args: &'a FilesArgs) -> &'a Path {
    match name {
        "millpond" => &args.millpond,
        "nginx" => &args.nginx,
        _ => &args.static_web_server,
    }
}

fn table(args: &FilesArgs, names: &[&str], samples: &[Vec<Vec<Sample>>]) -> Table {
    let mut table = Table::new(&[
        "bytes",
        "server",
        "req/s",
        "p99",
        "CPU µs/req",
        "errors",
        "CPU/nginx",
        "req/s / sws",
    ]);
    for (size, samples) in args.sizes.iter().zip(samples) {
        let of = |name: &str, value: fn(&Sample) -> f64| {
            let who = names.iter().position(|other| *other == name)?;
            Some(median(samples[who].iter().map(value)))
        };
        for (name, samples) in names.iter().zip(samples) {
            let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
            let per_second = middle(|sample| sample.figures.per_second);
            let cpu = middle(Sample::cpu_per_request);
            table.row(vec![
                size.to_string(),
                (*name).to_string(),
                format!("{per_second:.0}"),
                time(middle(|sample| sample.figures.p99_us)),
                format!("{cpu:.1}"),
                samples.iter().map(|sample| sample.figures.errors).sum::<u64>().to_string(),
                ratio(cpu, of("nginx", Sample::cpu_per_request)),
                ratio(per_second, of("static-web-server", |sample| sample.figures.per_second)),
            ]);
        }
    }
    table
}

/// A directory with a file of each size, `root/SIZE`, and room for what a server writes.
struct Directory(PathBuf);

impl Directory {
    fn new(sizes: &[usize]) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("peers-files-{}", std::process::id()));
        let dir = Self(path);
        dir.fill(sizes).map_err(|error| format!("cannot make {}: {error}", dir.0.display()))?;
        Ok(dir)
    }

    fn fill(&self, sizes: &[usize]) -> std::io::Result<()> {
        std::fs::create_dir_all(self.0.join("root"))?;
        for size in sizes {
            let mut file = std::fs::File::create(self.0.join("root").join(size.to_string()))?;
            file.write_all(&vec![b'x'; *size])?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(name: &str, args: &FilesArgs, dir: &Path) -> Result<Running, String> {
    let port = free_port()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let root = dir.join("root");
    let mut command = Command::new(program(name, args));
    match name {
        "millpond" => {
            command.arg("serve").arg(&root).args(["-b", &format!("tcp://{address}")]);
        }
        "nginx" => {
            let config = dir.join("nginx.conf");
            std::fs::write(&config, nginx(dir, address))
                .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
            command.arg("-p").arg(dir).arg("-c").arg(config).args(["-g", "daemon off;"]);
        }
        _ => {
            command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-g", "error", "-d"]);
            command.arg(&root);
        }
    }
    Ok(Running::of(Process::start(command, address)?, address))
}

/// nginx as one would set it up for static files: two workers, sendfile, metadata and descriptors
/// kept, revalidated every second as millpond does, no log.
fn nginx(dir: &Path, address: SocketAddr) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/{name};"))
        .concat();
    format!(
        "worker_processes 2; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; {temporary}\n\
         keepalive_requests 1000000000; open_file_cache max=1000; open_file_cache_valid 1s;\n\
         server {{ listen {address}; root {dir}/root; }} }}\n"
    )
}

//! The sandbox as a program, for demos, benchmarks and clients in other languages.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use sandbox::{Config, Sandbox};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
Simulated SaaS APIs over HTTP. Prints its URL and serves until SIGTERM or SIGINT.

usage: sandbox [flags]

  --port N                port on 127.0.0.1 (default: a free one)
  --records OBJECT=N      live records of an object or a table; may be repeated
  --seed N                other values for the generated records (default 1)
  --filler-objects N      objects of no further interest in the org (default 800)
  --page-size N           at most N records on a page
  --latency-ms N          every answer comes N milliseconds later (fractions allowed)
  --threads N             worker threads (default 2)
  --tls                   serve HTTPS with a certificate of an own authority
  --ca-out FILE           write the authority's certificate here (implies --tls)
  --no-gzip               never compress answers
  --cache-pages           keep rendered pages, for benchmarks
  --airtable NAME=JSON    a switch of Airtable; may be repeated
  --token TOKEN           a static access token; may be repeated
  --public-key FILE       RSA public key (PEM) that verifies JWT assertions
  --instance-url URL      what token answers name as instance_url
  --until-stdin-closes    also end when stdin reaches its end
  --help                  this text

Everything else is told to a running sandbox under /_control/; see the README.
";

struct Options {
    config: Config,
    ca_out: Option<String>,
    until_stdin_closes: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("sandbox: {message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { config: Config::new(), ca_out: None, until_stdin_closes: false };
    while let Some(flag) = args.next() {
        let config = options.config;
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        options.config = match flag.as_str() {
            "--help" | "-h" => return Ok(None),
            "--port" => config.port(number(&flag, &value()?)?),
            "--seed" => config.seed(number(&flag, &value()?)?),
            "--filler-objects" => config.filler_objects(number(&flag, &value()?)?),
            "--page-size" => config.page_size(number(&flag, &value()?)?),
            "--threads" => config.threads(number(&flag, &value()?)?),
            "--latency-ms" => {
                let ms: f64 = number(&flag, &value()?)?;
                let latency = Duration::try_from_secs_f64(ms / 1000.0).map_err(|e| format!("{flag}: {e}"))?;
                config.latency(latency)
            }
            "--records" => {
                let value = value()?;
                let (object, n) = value.split_once('=').ok_or("--records wants OBJECT=N")?;
                config.records(object, number(&flag, n)?)
            }
            "--airtable" => {
                let value = value()?;
                let (name, json) = value.split_once('=').ok_or("--airtable wants NAME=JSON")?;
                let json = serde_json::from_str(json).map_err(|e| format!("{flag}: {e}"))?;
                config.airtable_by_name(name, json)?
            }
            "--tls" => config.tls(true),
            "--ca-out" => {
                options.ca_out = Some(value()?);
                config.tls(true)
            }
            "--no-gzip" => config.gzip(false),
            "--cache-pages" => config.cache_pages(true),
            "--token" => config.static_token(&value()?),
            "--public-key" => {
                let pem = std::fs::read_to_string(value()?).map_err(|e| format!("{flag}: {e}"))?;
                config.credentials(|c| c.public_key = Some(pem))
            }
            "--instance-url" => config.instance_url(&value()?),
            "--until-stdin-closes" => {
                options.until_stdin_closes = true;
                config
            }
            _ => return Err(format!("unknown flag {flag}")),
        };
    }
    Ok(Some(options))
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{flag}: not a number: {text}"))
}

fn run(options: Options) -> io::Result<()> {
    let sandbox = Sandbox::start(options.config)?;
    if let (Some(file), Some(pem)) = (options.ca_out, sandbox.ca_pem()) {
        std::fs::write(file, pem)?;
    }
    println!("{}", sandbox.url());
    io::stdout().flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(wait(options.until_stdin_closes));
    // A read of stdin that still waits must not hold the program up.
    runtime.shutdown_background();
    ended
}

async fn wait(until_stdin_closes: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stdin_end = async {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut scrap = [0; 256];
        while stdin.read(&mut scrap).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_end => {}
    }
    Ok(())
}

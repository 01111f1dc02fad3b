//! The proxy as a program, to see with one's own eyes what a client makes of a bad network.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use proxy::{Action, Proxy, Request, Schedule};

const HELP: &str = "\
A proxy that makes HTTP go wrong. Prints its URL, then each request that it strikes, and serves until it is killed.

usage: proxy [flags] UPSTREAM [ACTION…]

  UPSTREAM      http://127.0.0.1:8080
  ACTION        pass, drop-before, drop-after, truncate, truncate-cleanly, garbage, empty, hang; delay=MS;
                503 (any status) instead of the work, after=503 after it
  --seed N      other dice (default 1)
  --rate P      the share of requests that are struck (default 0.1)
  --limit N     most strikes in a row (default 2)
  --help        this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match start(arguments.into_iter()) {
        Ok(proxy) => {
            println!("{}", proxy.url());
            loop {
                thread::park();
            }
        }
        Err(message) => {
            eprintln!("proxy: {message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn start(mut arguments: impl Iterator<Item = String>) -> Result<Proxy, String> {
    let (mut seed, mut rate, mut limit) = (1, 0.1, 2);
    let (mut upstream, mut actions) = (None, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => seed = number(&value()?)?,
            "--rate" => rate = number(&value()?)?,
            "--limit" => limit = number(&value()?)?,
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
            _ if upstream.is_none() => upstream = Some(argument),
            name => actions.push(action(name)?),
        }
    }
    let proxy = Proxy::start(upstream.ok_or("no upstream")?).map_err(|error| error.to_string())?;
    let mut dice = Schedule::random(seed, rate, actions).limit(limit);
    proxy.set(move |request: &Request| {
        let action = dice.decide(request);
        if action != Action::Pass {
            println!("{} {} {}: {action:?}", request.number, request.method, request.path);
        }
        action
    });
    Ok(proxy)
}

fn action(name: &str) -> Result<Action, String> {
    Ok(match name {
        "pass" => Action::Pass,
        "drop-before" => Action::DropBefore,
        "drop-after" => Action::DropAfter,
        "truncate" => Action::Truncate,
        "truncate-cleanly" => Action::TruncateCleanly,
        "garbage" => Action::Garbage,
        "empty" => Action::Empty,
        "hang" => Action::Hang,
        _ => match name.split_once('=') {
            Some(("delay", ms)) => Action::Delay(Duration::from_millis(number(ms)?)),
            Some(("after", status)) => Action::answer_after(number(status)?, "[]"),
            Some(_) => return Err(format!("unknown action {name}")),
            None => Action::answer(number(name).map_err(|_| format!("unknown action {name}"))?, "[]"),
        },
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

//! `badrange sim`: scenarios through the model of a kernel.

use std::{fs, io::Write, path::Path, time::Instant};

use badrange_sim::{
    EventOutcome, Profile, RunOutcome, Running, Scenario, check, check_locations, compare_designs,
};
use serde_json::Value;

use crate::{
    EXIT_DATA, Failure,
    cli::{SimCheckArgs, SimCommand, SimCompareArgs, SimRunArgs},
};

/// Some scenario did not come out as recorded.
const EXIT_DIFFERS: u8 = 1;

pub(crate) fn run(command: &SimCommand) -> Result<u8, Failure> {
    match command {
        SimCommand::Run(args) => run_one(args),
        SimCommand::Check(args) => check_all(args),
        SimCommand::Compare(args) => compare(args),
        SimCommand::Sweep(args) => crate::sweep::sweep(args),
        SimCommand::Summarize(args) => crate::sweep::summarize(args),
        SimCommand::Init(args) => crate::init::run(args),
        SimCommand::Diagram(args) => crate::diagram::run(args),
    }
}

pub(crate) fn load(path: &Path) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|err| Failure::data(format!("cannot read {name:?}: {err}")))?;
    Scenario::from_str(&text, &name).map_err(Failure::data)
}

fn run_one(args: &SimRunArgs) -> Result<u8, Failure> {
    let profile = args.profile.as_deref().map(profile).transpose()?;
    let outcome = simulate(&load(&args.scenario)?, profile)?;
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&outcome))?;
    } else {
        events(&mut out, &outcome)?;
    }
    out.flush()?;
    Ok(0)
}

/// Runs all events. Times of storms go to standard error: an outcome is the same every time.
fn simulate(scenario: &Scenario, profile: Option<Profile>) -> Result<RunOutcome, Failure> {
    let mut running = Running::new(scenario, profile);
    for number in 1_u64.. {
        let began = Instant::now();
        let Some(event) = running.step() else { break };
        if let Some(calls) = storm_calls(event) {
            let seconds = began.elapsed().as_secs_f64();
            writeln!(anstream::stderr(), "event {number}: {calls} failures in {seconds:.2} s")?;
        }
    }
    Ok(running.finish())
}

/// How many failures a storm had; a range that was reported as one is one.
fn storm_calls(event: &EventOutcome) -> Option<u64> {
    event.storm.as_ref().map(|storm| storm.calls)
}

pub(crate) fn profile(name: &str) -> Result<Profile, Failure> {
    Profile::from_name(name).ok_or_else(|| {
        let all = Profile::KERNELS.into_iter().chain(Profile::DESIGNS);
        let mut known: Vec<&str> = all.map(Profile::as_str).collect();
        known.sort_unstable();
        known.dedup();
        let known = known.join(", ");
        Failure::usage(format!("profile {name:?} is not known here: expected one of {known}"))
    })
}

fn compare(args: &SimCompareArgs) -> Result<u8, Failure> {
    let asked = args.designs.iter().map(|name| profile(name)).collect::<Result<Vec<_>, _>>()?;
    let designs = if asked.is_empty() { Profile::DESIGNS.to_vec() } else { asked };
    let comparison = compare_designs(&load(&args.scenario)?, &designs);
    let mut out = anstream::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(&comparison).unwrap_or_default();
        writeln!(out, "{text}")?;
    } else if args.markdown {
        write!(out, "{}", comparison.to_markdown())?;
    } else {
        write!(out, "{comparison}")?;
    }
    out.flush()?;
    Ok(0)
}

fn json(outcome: &RunOutcome) -> String {
    // Strings, numbers and maps with string keys: serialising them cannot fail.
    serde_json::to_string_pretty(outcome).unwrap_or_default()
}

fn events(out: &mut impl Write, outcome: &RunOutcome) -> std::io::Result<()> {
    writeln!(out, "{} on {}", outcome.name, outcome.profile)?;
    for (number, event) in (1..).zip(&outcome.events) {
        writeln!(out, "event {number}:")?;
        let Ok(Value::Object(facts)) = serde_json::to_value(event) else { continue };
        for (key, value) in &facts {
            fact(out, key, value)?;
        }
    }
    Ok(())
}

/// One fact on a line; a list of things, one line each.
fn fact(out: &mut impl Write, key: &str, value: &Value) -> std::io::Result<()> {
    match value {
        Value::Array(items) if items.iter().any(is_long) => {
            writeln!(out, "  {key}:")?;
            items.iter().try_for_each(|item| writeln!(out, "    {}", words(item)))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => writeln!(out, "  {key}: {}", words(value)),
    }
}

/// What deserves a line of its own.
fn is_long(value: &Value) -> bool {
    value.is_object() || value.as_str().is_some_and(|text| text.contains(' '))
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(range_or_words).collect::<Vec<_>>().join(" "),
        Value::Object(facts) => {
            let pairs = facts.iter().map(|(key, value)| match value {
                Value::Array(_) | Value::Object(_) => format!("{key}=[{}]", words(value)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    format!("{key}={}", words(value))
                }
            });
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A row of a range list as `START+LEN`.
fn range_or_words(value: &Value) -> String {
    match value.as_array().map(Vec::as_slice) {
        Some([start @ Value::Number(_), len @ Value::Number(_)]) => format!("{start}+{len}"),
        _ => words(value),
    }
}

fn check_all(args: &SimCheckArgs) -> Result<u8, Failure> {
    let mut out = anstream::stdout().lock();
    let (mut agree, mut differ, mut bad) = (0_u64, 0_u64, 0_u64);
    for path in &args.scenarios {
        match load(path) {
            Ok(scenario) => match check_one(&mut out, &scenario)? {
                true => agree = agree.saturating_add(1),
                false => differ = differ.saturating_add(1),
            },
            Err(failure) => {
                bad = bad.saturating_add(1);
                writeln!(anstream::stderr(), "badrange: {}", failure.message)?;
            }
        }
    }
    let unreadable = if bad > 0 { format!(", {bad} bad") } else { String::new() };
    writeln!(out, "{agree} agree, {differ} differ{unreadable}")?;
    out.flush()?;
    Ok(match (bad, differ) {
        (0, 0) => 0,
        (0, _) => EXIT_DIFFERS,
        _ => EXIT_DATA,
    })
}

fn check_one(out: &mut impl Write, scenario: &Scenario) -> Result<bool, Failure> {
    let mut differences = check(scenario);
    differences.extend(check_locations(scenario));
    let verdict = if differences.is_empty() { "agrees" } else { "DIFFERS" };
    writeln!(out, "{verdict}  {}", scenario.name())?;
    for difference in &differences {
        writeln!(out, "         {difference}")?;
    }
    Ok(differences.is_empty())
}

//! Completions and manual pages, from the same definition as the command line itself.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;

use crate::{
    Failure,
    cli::{Cli, CompletionsArgs, ManArgs},
};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "badrange", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(0)
}

pub(crate) fn man(args: &ManArgs) -> Result<u8, Failure> {
    match &args.dir {
        None => io::stdout().lock().write_all(&page(Cli::command())?)?,
        Some(dir) => write_pages(dir)?,
    }
    Ok(0)
}

fn write_pages(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let cannot = |err: io::Error| Failure::data(format!("cannot write to {shown}: {err}"));
    fs::create_dir_all(dir).map_err(cannot)?;
    let mut pages = Vec::new();
    collect(Cli::command(), "badrange", &mut pages);
    for command in pages {
        let path = dir.join(format!("{}.1", command.get_name()));
        fs::write(path, page(command)?).map_err(cannot)?;
    }
    Ok(())
}

/// The command and every command below it, each under its full name.
fn collect(command: clap::Command, name: &str, pages: &mut Vec<clap::Command>) {
    for below in command.get_subcommands() {
        collect(below.clone(), &format!("{name}-{}", below.get_name()), pages);
    }
    // Clap wants names to live as long as the program, which ends right after.
    let name: &'static str = name.to_owned().leak();
    pages.push(command.name(name).version(env!("CARGO_PKG_VERSION")));
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(text)
}

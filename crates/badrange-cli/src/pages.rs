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
    let root = Cli::command();
    let mut pages = vec![root.clone()];
    for command in root.get_subcommands() {
        // Pages of their own names; clap wants them to live as long as the program.
        let name: &'static str = format!("badrange-{}", command.get_name()).leak();
        pages.push(command.clone().name(name).version(env!("CARGO_PKG_VERSION")));
    }
    for command in pages {
        let path = dir.join(format!("{}.1", command.get_name()));
        fs::write(path, page(command)?).map_err(cannot)?;
    }
    Ok(())
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(text)
}

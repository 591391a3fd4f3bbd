//! Makes a failing input of a fuzz target small, and prints it as code:
//! `cargo run -p badrange-testkit --features text --example reproduce -- <target> <file>`.
//!
//! Without arguments it shows what that looks like, on a check that is wrong on purpose.
#![expect(clippy::print_stdout, reason = "an example prints")]

use core::error::Error;
use std::{env, fs, panic};

use badrange_testkit::{
    arbitrary::{self, Arbitrary},
    case::{DrawnExtent, TestCase},
    fuzz,
};

/// Claims that no extent ends where another begins.
#[derive(Debug, Arbitrary)]
struct NeverAdjacent(DrawnExtent, DrawnExtent);

impl TestCase for NeverAdjacent {
    fn check(&self) {
        assert_ne!(self.0.start.checked_add(self.0.len), Some(self.1.start));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Thousands of inputs are tried, and most of them fail.
    panic::set_hook(Box::new(|_| ()));
    let arguments: Vec<String> = env::args().skip(1).collect();
    let code = match arguments.as_slice() {
        [] => fuzz::reproduction::<NeverAdjacent>(&[4, 1, 0, 5, 0, 0, 6, 20]),
        [target, file] => {
            let target = fuzz::target(target).ok_or("no such target")?;
            target.reproduction(&fs::read(file)?)
        }
        _ => return Err("usage: reproduce <target> <file>".into()),
    };
    println!("{}", code.unwrap_or_else(|| "// nothing fails".to_owned()));
    Ok(())
}

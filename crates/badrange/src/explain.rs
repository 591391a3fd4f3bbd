//! From bad ranges on a described stack to everything they hit: the engine behind
//! `badrange explain`.
//!
//! An [`Explainer`] puts a [`Topology`](badrange_input::Topology) on a
//! [`Stack`](badrange_stack::Stack): every filesystem, and every area whose use is known, is a
//! holder. A query is then an ordinary failure on that stack, and what the holders were told is
//! the answer: pieces that cover the query exactly, each with its way up, a [`Verdict`], and the
//! owners of the bytes.
//!
//! ```
//! use badrange::explain::{Explainer, Verdict};
//! use badrange_input::{MemoryFiles, Topology};
//! let files = MemoryFiles::new()
//!     .with("map.txt", "\t0: 8:1 [0..7]: static fs metadata 8\n\t1: 8:1 [8..15]: inode 12 data 0..7 8\n")
//!     .with("paths.txt", "12 /etc/passwd\n");
//! let text = r#"
//!     schema = "badrange.stack/1"
//!     [[disk]]
//!     name = "sda"
//!     sectors = 64
//!     [[fs]]
//!     device = "sda"
//!     kind = "xfs"
//!     map = ["map.txt"]
//!     paths = "paths.txt"
//!     block_size = 4096
//! "#;
//! let explainer = Explainer::new(Topology::load("stack.toml", text, &files)?)?;
//! let answer = explainer.explain(&explainer.locate("sda:9+1")?);
//! let piece = &answer.queries[0].pieces[0];
//! assert_eq!(piece.verdict, Verdict::File);
//! assert_eq!(piece.owners[0].paths, ["/etc/passwd"]);
//! assert_eq!(piece.owners[0].start, Some(512));
//! assert_eq!(answer.exit_code(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod assemble;
mod build;
pub(crate) mod descent;
pub(crate) mod ground;
mod holders;
pub(crate) mod location;
mod logged;
mod protect;
mod told;
mod verdict;

pub use self::{
    answer::{Answer, Explanation, OwnerFound, PieceFound, Position, Redundancy, Summary},
    build::{BuildError, Explainer},
    location::{LocationError, LocationErrorKind, Query, Target},
    logged::Located,
    told::Told,
    verdict::Verdict,
};

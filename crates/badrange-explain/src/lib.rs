//! From bad ranges on a described stack to everything they hit, and back.
//!
//! An [`Explainer`] puts a [`Topology`](badrange_input::Topology) on a
//! [`Stack`](badrange_stack::Stack) and knows what stands on each device: the owners of a
//! filesystem's bytes, and every area whose use is known. A query is then a question to a
//! [`Snapshot`](badrange_stack::Snapshot) of that stack, and the answer is pieces that cover the
//! query exactly, each with its way up, a [`Verdict`], and the owners of the bytes. There is no
//! other walk here: [`locate`], [`plan`] and redundancy ask the same snapshot.
//!
//! ```
//! use badrange_explain::{Explainer, Verdict};
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

pub mod advice;
mod answer;
mod assemble;
mod build;
mod contents;
mod descent;
mod ground;
pub mod inject;
pub mod locate;
mod location;
mod logged;
pub mod plan;
pub mod report;
mod seen;
mod verdict;

pub use self::{
    answer::{Answer, Explanation, OwnerFound, PieceFound, Position, Redundancy, Summary},
    build::{BuildError, Explainer},
    location::{LocationError, LocationErrorKind, Query, QueryTarget},
    logged::LocatedRanges,
    seen::Seen,
    verdict::Verdict,
};

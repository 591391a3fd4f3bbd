//! Examples live beside this crate, one file each; see `examples/*.rs`.
//!
//! The code blocks of the documents in `docs/` are tests of this crate.

#[cfg(doctest)]
#[doc = include_str!("../../docs/architecture.md")]
struct Architecture;

#[cfg(doctest)]
#[doc = include_str!("../../docs/concurrency.md")]
struct Concurrency;

#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

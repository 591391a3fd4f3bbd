#!/bin/bash -eu
# Builds every fuzz target for a fleet, with its corpus and its dictionary.
#
# OSS-Fuzz and ClusterFuzzLite set OUT and the flags of the sanitizer; the image has nightly and
# cargo-fuzz. Not run from this repository: see docs/fuzzing.md.

cd "$SRC/badrange"
cargo fuzz build --release --debug-assertions

for source in fuzz/fuzz_targets/*.rs; do
    target="$(basename "$source" .rs)"
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    zip --quiet --junk-paths --recurse-paths "$OUT/${target}_seed_corpus.zip" \
        "fuzz/corpus/$target"
    if [ -d "fuzz/regressions/$target" ]; then
        zip --quiet --junk-paths --recurse-paths "$OUT/${target}_seed_corpus.zip" \
            "fuzz/regressions/$target"
    fi
    if [ -f "fuzz/dictionaries/$target.dict" ]; then
        cp "fuzz/dictionaries/$target.dict" "$OUT/"
    fi
done

#!/usr/bin/env bash
# Builds the fuzz targets with coverage and runs each for SECONDS (default 600) on what was found before.
#
#   fuzz/run.sh [target...]
#
# libFuzzer is linked by the crate libfuzzer-sys; the flags are those of cargo-fuzz without a sanitizer,
# which stable Rust has. What is found lies in fuzz/artifacts/<target>, the corpus in fuzz/corpus/<target>;
# it begins with fuzz/seeds/<target>.tar.gz, which a good run may replace:
#
#   tar -C fuzz/corpus --sort=name --owner=0 --group=0 --mtime=@0 -cf - <target> | gzip -n9
set -euo pipefail
cd "$(dirname "$0")"
seconds=${SECONDS_EACH:-600}
[ $# -gt 0 ] && targets=("$@") || targets=(body delta flow manifest metadata request signed sync tree upstream)
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
 -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target of their own, build scripts and macros are compiled without the flags.
cargo build --release --locked --target "$host"
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  [ -f "seeds/$target.tar.gz" ] && tar -C corpus -xzf "seeds/$target.tar.gz"
  printf '=== %s: %s s\n' "$target" "$seconds"
  "${CARGO_TARGET_DIR:-target}/$host/release/$target" "corpus/$target" \
    -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1
done

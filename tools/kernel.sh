#!/bin/sh
# The compiled kernel: `build` it into the environment, or `check` its source. Where Rust is missing or too old, say so
# and do nothing: the policy then runs in Python, with the same results.
#   tools/kernel.sh build|check BIN
set -eu
task=$1
bin=$(realpath "$2")
cd "$(dirname "$0")/../native"
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$found" ] || [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "kernel: skipped, it needs cargo >= $wanted and found ${found:-none}; the policy runs in Python"
  exit 0
fi
if [ "$task" = build ]; then
  log=$(VIRTUAL_ENV=$(dirname "$bin") "$bin/maturin" develop --release --locked --uv 2>&1) || { echo "$log" >&2; exit 1; }
  exit 0
fi
cargo fmt --check
cargo clippy --quiet --release --locked --all-targets -- -D warnings
"$bin/python" -m mypy.stubtest spanward.native._native --mypy-config-file ../pyproject.toml

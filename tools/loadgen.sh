#!/bin/sh
# Print the path of the benchmarks' load generator, building it first where that was not done yet. Needs Go, and the Go
# module proxy on the first run.
set -eu
cd "$(dirname "$0")"
. ./go_cache.sh
cd ../bench/loadgen
build() {
  go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$1" .
}
cached loadgen go.mod go.sum ./*.go

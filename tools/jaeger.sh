#!/bin/sh
# Print the path of the Jaeger that the tests run, building it first where that was not done yet (pinned in
# tests/jaeger/go.sum); SPANWARD_JAEGER names another binary to use instead. Needs Go, the Go module proxy on the first run,
# and no UI toolchain.
# Usage: tools/jaeger.sh [--find]    --find never builds: it exits with 1 where there is no binary
set -eu

if [ -n "${SPANWARD_JAEGER:-}" ]; then
  [ -x "$SPANWARD_JAEGER" ] && [ ! -d "$SPANWARD_JAEGER" ] || {
    echo "SPANWARD_JAEGER=$SPANWARD_JAEGER is not a program; name one, or unset it to build Jaeger" >&2
    exit 1
  }
  echo "$SPANWARD_JAEGER"
  exit 0
fi

cd "$(dirname "$0")"
. ./go_cache.sh
cd ../tests/jaeger
build() {
  go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$1" github.com/jaegertracing/jaeger/cmd/jaeger
}
[ "${1:-}" != --find ] || [ -x "$(cached_path jaeger go.mod go.sum)" ] || exit 1
cached jaeger go.mod go.sum

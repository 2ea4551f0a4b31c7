#!/bin/sh
# Print the path of the Jaeger that the tests run, building it first where that was not done yet.
# It lies outside the repository, one folder for each pinned version (tests/jaeger/go.sum); SPANWARD_JAEGER names another
# binary to use instead. Needs Go 1.24 or newer, the Go module proxy on the first run, and no UI toolchain.
# Usage: tools/jaeger.sh [--find]    --find never builds: it exits with 1 where there is no binary
set -eu
module=$(cd "$(dirname "$0")/../tests/jaeger" && pwd)

if [ -n "${SPANWARD_JAEGER:-}" ]; then
  [ -x "$SPANWARD_JAEGER" ] && [ ! -d "$SPANWARD_JAEGER" ] || {
    echo "SPANWARD_JAEGER=$SPANWARD_JAEGER is not a program; name one, or unset it to build Jaeger" >&2
    exit 1
  }
  echo "$SPANWARD_JAEGER"
  exit 0
fi

pin=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-12)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/spanward/jaeger-$pin"
binary="$folder/jaeger"

if [ ! -x "$binary" ]; then
  [ "${1:-}" != --find ] || exit 1
  command -v go > /dev/null || {
    echo "Jaeger is built with Go 1.24 or newer, which is not on PATH; install it, or name a binary with SPANWARD_JAEGER" >&2
    exit 1
  }
  mkdir -p "$folder"
  # A name of its own until it is whole: two builds at once, or a killed one, leave no half binary behind.
  partial=$(mktemp "$folder/partial.XXXXXX")
  trap 'rm -f "$partial"' EXIT
  echo "building Jaeger, which takes minutes the first time ..." >&2
  (cd "$module" && go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$partial" \
    github.com/jaegertracing/jaeger/cmd/jaeger) >&2
  chmod 755 "$partial"
  mv "$partial" "$binary"
fi
echo "$binary"

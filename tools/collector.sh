#!/bin/sh
# Print the path of the OpenTelemetry Collector that the benchmarks compare with, building it with the Collector's own
# builder where that was not done yet. Needs Go, and the Go module proxy on the first run, which takes minutes.
set -eu
cd "$(dirname "$0")"
. ./go_cache.sh
manifest=$(pwd)/../bench/collector/manifest.yaml
version=$(sed -n 's/^  version: //p' "$manifest")
build() {
  sources=$(mktemp -d)
  sed "s|^  output_path: .*|  output_path: $sources|" "$manifest" > "$sources/manifest.yaml"
  # The builder's own tidying gives up at modules that only tests need and the proxy does not have: it is done again here.
  log=$(
    go run "go.opentelemetry.io/collector/cmd/builder@v$version" --config "$sources/manifest.yaml" --skip-compilation 2>&1 ||
      true
    cd "$sources" && go mod tidy -e 2>&1 && go build -mod=mod -trimpath -buildvcs=false -ldflags='-s -w' -o "$1" . 2>&1
  ) || { echo "$log"; rm -rf "$sources"; return 1; }
  rm -rf "$sources"
}
cached otelcol "$manifest"

#!/bin/sh
# Runs the tests of the SDK and of the policy under the oldest, some later, and the newest OpenTelemetry SDK that the
# project supports, each in an environment of its own that is thrown away afterwards. Needs a package index.
#   sh tools/sdk_range.sh [VERSION ...]     such as: sh tools/sdk_range.sh 1.30.0 latest
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-$PWD/.venv/bin/uv}
python=${PYTHON:-3.11}
[ $# -gt 0 ] || set -- 1.30.0 1.31.1 1.34.0 1.37.0 1.40.0 latest
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

"$uv" build --quiet --wheel --out-dir "$scratch" .
wheel=$(echo "$scratch"/*.whl)
failed=
for version in "$@"; do
  env="$scratch/env"
  pins=
  if [ "$version" != latest ]; then
    for package in api sdk proto exporter-otlp-proto-common; do
      pins="$pins opentelemetry-$package==$version"
    done
  fi
  "$uv" venv --quiet --clear --python "$python" "$env"
  # shellcheck disable=SC2086 # the pins are words
  if VIRTUAL_ENV="$env" "$uv" pip install --quiet "$wheel[lake]" $pins pytest pytest-asyncio pytest-timeout hypothesis &&
    "$env/bin/python" -m pytest tests/unit/sdk tests/unit/policy tests/property/test_sdk_values.py -q -p no:cacheprovider
  then echo "opentelemetry-sdk $version: passed"
  else
    echo "opentelemetry-sdk $version: FAILED" >&2
    failed="$failed $version"
  fi
done
[ -z "$failed" ] || { echo "failed with:$failed" >&2; exit 1; }

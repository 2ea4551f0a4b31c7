#!/bin/sh
# Resolve in a throw-away folder: a lock file kept in the repository would carry the registry's host names.
set -eu
uv=$(realpath "$1")
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp pyproject.toml README.md LICENSE "$work"
cd "$work"
unset VIRTUAL_ENV
"$uv" lock --quiet
"$uv" export --quiet --frozen --all-extras --all-groups --no-emit-project --no-header --no-annotate \
  --output-file "$root/requirements-dev.txt" > /dev/null

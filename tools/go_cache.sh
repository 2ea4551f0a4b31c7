# To be sourced. Go programs that are built once lie outside the repository, one folder for each content of the files that
# they are made of.

# cached_path NAME FILE...: where the program that is made of these files lies, or would lie.
cached_path() {
  name=$1
  shift
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/spanward/$name-$(cat "$@" | sha256sum | cut -c1-12)/$name"
}

# cached NAME FILE...: the same, after the caller's function `build PATH` has made it where it was not there.
cached() {
  program=$(cached_path "$@")
  if [ ! -x "$program" ]; then
    command -v go > /dev/null || {
      echo "$1 is built with Go 1.25 or newer, which is not on PATH; install it" >&2
      exit 1
    }
    mkdir -p "${program%/*}"
    # A name of its own until it is whole: two builds at once, or a killed one, leave no half program behind.
    partial=$(mktemp "${program%/*}/partial.XXXXXX")
    trap 'rm -f "$partial"' EXIT
    echo "building $1, which may take minutes the first time ..." >&2
    build "$partial" >&2
    chmod 755 "$partial"
    mv "$partial" "$program"
  fi
  echo "$program"
}

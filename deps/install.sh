#!/bin/sh
# Installs the Debian packages that a group of make targets needs: deps/install.sh GROUP...
# Silent when nothing is missing. The lists below are the only ones.
set -eu

packages() # group
{
    case $1 in
    build) echo gcc libc6-dev make pkg-config autoconf automake libtool \
        curl ca-certificates libevent-dev libinih-dev libseccomp-dev ;;
    test) echo libcmocka-dev python3 python3-pytest curl openssl chromium libnss3-tools \
        tcpdump tshark prometheus wrk ;;
    # Servers to measure against; their packages start them where an init system runs.
    peers) echo nginx-light libnginx-mod-stream hitch haproxy stunnel4 ;;
    # What loads them, besides our own client.
    bench) echo python3 openssl wrk nghttp2-client ;;
    lint) echo libcmocka-dev python3 clang clang-format cppcheck shellcheck \
        mandoc systemd ;;
    *) echo "usage: $0 build|test|peers|bench|lint..." >&2 && return 2 ;;
    esac
}

is_installed() # package
{
    # shellcheck disable=SC2016 # dpkg-query expands it
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

wanted=
for group in "$@"; do
    list=$(packages "$group")
    wanted="$wanted $list"
done

if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: no apt-get here; this needs the equivalents of:$wanted" >&2
    exit 0
fi

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: as root, run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

echo "deps: installing with apt-get:$missing" >&2
apt_get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
$apt_get update
# shellcheck disable=SC2086
$apt_get install -y --no-install-recommends $missing >/dev/null

#!/bin/bash
# Every check on the source that runs no test: run by `make lint`. A failed check does not
# stop the next one.
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=()

check() # name command...
{
    local name=$1
    shift
    if "$@"; then
        echo "lint: $name: ok"
    else
        echo "lint: $name: failed"
        failed+=("$name")
    fi
}

headers_and_sources()
{
    find proxy config certs tests -name '*.[ch]' 2>/dev/null | sort
}
shell_scripts()
{
    find deps .ci tests packaging -type f ! -name '*.[ch]' ! -name '*.py' | sort |
        while read -r file; do
            head -n 1 "$file" | grep -qE '^#!.*/(ba)?sh\b' && echo "$file"
        done
}
mapfile -t c_files < <(headers_and_sources)
mapfile -t scripts < <(shell_scripts)

format()
{
    clang-format --dry-run --Werror "${c_files[@]}" 2>&1 |
        sed -nE 's/^([^ ]+:[0-9]+):[0-9]+: error.*/\1: not formatted (make format)/p' | uniq
    [ "${PIPESTATUS[0]}" -eq 0 ]
}

# System headers are not searched, except the one whose macros are control flow.
analysis()
{
    cppcheck --quiet --std=c11 --enable=warning,portability,performance \
        --inline-suppr --error-exitcode=1 -j"$(nproc)" -D_GNU_SOURCE \
        -DPAWL_VERSION='"0"' -I. --include=/usr/include/"$(gcc -dumpmachine)"/sys/queue.h \
        --suppress=missingInclude --suppress=missingIncludeSystem \
        --suppress=unmatchedSuppression \
        --template='{file}:{line}: {severity}: {message} [{id}]' proxy config certs tests
}

build() # compiler
{
    "${MAKE:-make}" --no-print-directory -k -j"$(nproc)" CC="$1" WERROR=1 tests-build |
        grep -vE '^  (CC|LINK) '
    [ "${PIPESTATUS[0]}" -eq 0 ]
}

# Programs are taken to be there: the unit names them where they will be installed.
unit()
{
    local work status=0
    work=$(mktemp -d)
    sed 's#^Exec\([A-Za-z]*\)=/usr/local/bin/pawl#Exec\1=/bin/true#' packaging/pawl.service \
        >"$work/pawl.service"
    SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$work/pawl.service" || status=1
    systemd-analyze security --no-pager --offline=true --threshold=30 \
        packaging/pawl.service >"$work/exposure" 2>&1 || { cat "$work/exposure"; status=1; }
    rm -r "$work"
    return $status
}

check format format
check cppcheck analysis
check shellcheck shellcheck --format=gcc "${scripts[@]}"
check gcc build gcc
check clang build clang
check manual mandoc -T lint -W error packaging/pawl.1 packaging/proxy.ini.5
check unit unit
check docs tests/lint/docs.sh build/pawl check
check rules /usr/bin/python3 tests/lint/rules.py

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: failed: ${failed[*]}"
    exit 1
fi

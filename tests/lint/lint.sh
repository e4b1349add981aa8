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
    find deps .ci tests -type f ! -name '*.[ch]' ! -name '*.py' | sort |
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

check format format
check cppcheck analysis
check shellcheck shellcheck --format=gcc "${scripts[@]}"
check gcc build gcc
check clang build clang
check docs tests/lint/docs.sh build/pawl check
check rules /usr/bin/python3 tests/lint/rules.py

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: failed: ${failed[*]}"
    exit 1
fi

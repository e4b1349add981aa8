#!/bin/sh
# The documentation that is made from the tables of keys and of figures.
#
#   tests/lint/docs.sh PAWL write    puts it into README.md and proxy.ini.example
#   tests/lint/docs.sh PAWL check    fails where they differ from it
set -eu
pawl=$1
what=$2
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$pawl" keys --markdown >"$work/table"
"$pawl" metrics --markdown >"$work/figures"
"$pawl" keys --ini >"$work/proxy.ini.example"
awk -v keys="$work/table" -v figures="$work/figures" '
    /^<!-- end of (keys|figures) -->/ { inside = 0 }
    !inside { print }
    /^<!-- (keys|figures): / {
        inside = 1
        table = $2 == "keys:" ? keys : figures
        while ((getline line < table) > 0) print line
    }
' README.md >"$work/README.md"

for file in README.md proxy.ini.example; do
    cmp -s "$work/$file" "$file" && continue
    if [ "$what" = write ]; then
        cat "$work/$file" >"$file"
    else
        echo "$file:1: differs from the tables in code; run make docs"
        bad=1
    fi
done
[ -z "${bad:-}" ]

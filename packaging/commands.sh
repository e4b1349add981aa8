#!/bin/sh
# Prints what `pawl help` says about every command as a part of pawl(1), in mdoc(7).
#
#   packaging/commands.sh PAWL
set -eu
pawl=$1

# Rows of options ("  -c FILE   the configuration") become a list; all else is text.
# A row that has nothing in its first column goes on with the one before.
to_mdoc()
{
    awk '
        function text(line) {
            gsub(/\\/, "\\e", line); gsub(/-/, "\\-", line); gsub(/`/, "\\(dq", line)
            print "\\&" line
        }
        function list(wanted) {
            if (wanted && !inside) print ".Bl -tag -width Ds -compact"
            if (!wanted && inside) print ".El"
            inside = wanted
        }
        NR == 1 { sub(/^usage: /, ""); gsub(/-/, "\\-"); print ".It Ic \"" $0 "\""; next }
        /^$/ { next }
        /^    / { sub(/^ +/, ""); text($0); next }
        /^  / {
            list(1)
            sub(/^ +/, "")
            at = match($0, /  +/)
            option = at ? substr($0, 1, at - 1) : $0
            gsub(/-/, "\\-", option)
            print ".It Ic \"" option "\""
            if (at) text(substr($0, at + RLENGTH))
            next
        }
        { list(0); text($0) }
        END { list(0) }'
}

echo ".Bl -tag -width Ds"
"$pawl" help | sed -n 's/^  pawl \([a-z]*\) .*/\1/p' | while read -r command; do
    "$pawl" help "$command" | to_mdoc
done
echo ".El"

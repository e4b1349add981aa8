# Completion of pawl(1) for bash.  Commands and options are what pawl itself says it has.

_pawl_commands()
{
    "$1" help 2>/dev/null | sed -n 's/^  pawl \([a-z][a-z]*\) .*/\1/p'
}

_pawl_options() # pawl command
{
    local help
    help=$("$1" help "$2" 2>/dev/null)
    grep -oE -- '(^|[^[:alnum:]-])--?[a-z][a-z-]*' <<<"$help" |
        grep -oE -- '--?[a-z][a-z-]*' | sort -u
    # A choice of words: usage: pawl log error|warning|info|debug
    sed -n '1s/^usage: pawl [a-z]* \([a-z]*|[a-z|]*\).*/\1/p' <<<"$help" | tr '|' '\n'
}

_pawl()
{
    local pawl=$1 word=$2 before=$3 command=${COMP_WORDS[1]}
    local IFS=$'\n'

    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ] || { [ "$COMP_CWORD" -eq 2 ] && [ "$command" = help ]; }; then
        mapfile -t COMPREPLY < <(compgen -W "$(_pawl_commands "$pawl")" -- "$word")
    elif [[ $before == -c || $before == --ca || $before == --control ]] ||
        { [ "$command" = check ] && [[ $word != -* ]]; }; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$(_pawl_options "$pawl" "$command")" -- "$word")
    fi
}

complete -F _pawl pawl

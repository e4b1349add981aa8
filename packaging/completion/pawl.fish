# Completion of pawl(1) for fish.  Commands and options are what pawl itself says it has.

function __pawl_commands
    pawl help 2>/dev/null | string replace -rf '^  pawl ([a-z]+) .*' '$1'
end

function __pawl_options
    set -l command (commandline -opc)[2]
    set -l help (pawl help $command 2>/dev/null)
    string match -ra '(?<![\w-])--?[a-z][a-z-]*' -- $help | sort -u
    # A choice of words: usage: pawl log error|warning|info|debug
    string replace -rf '^usage: pawl [a-z]+ ([a-z]+\|[a-z|]+).*' '$1' -- $help[1] |
        string split '|'
end

complete -c pawl -f -n __fish_use_subcommand -a '(__pawl_commands)'
complete -c pawl -f -n '__fish_seen_subcommand_from help' -a '(__pawl_commands)'
complete -c pawl -F -n '__fish_seen_subcommand_from check'
complete -c pawl -f -n 'not __fish_use_subcommand; and not __fish_seen_subcommand_from help' \
    -a '(__pawl_options)'
complete -c pawl -r -F -s c -n 'contains -- -c (__pawl_options)' -d 'the configuration'
complete -c pawl -r -F -l ca -n 'contains -- --ca (__pawl_options)' \
    -d 'certificates to verify against'
complete -c pawl -r -F -l control -n 'contains -- --control (__pawl_options)' \
    -d 'the control socket'

# Completion of signalbox for bash: commands and flags from its --help, objects from the server.
_signalbox() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --server | --socket | --ca | --token-file) ((i++)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    local words
    case $previous in
    --ca | --token-file | --socket | -f)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    esac
    if [[ -z $command ]]; then
        words=$(signalbox --help | sed -n -e 's/^  \([a-z]\+\) .*/\1/p' -e 's/^  \(--[a-z-]\+\)[ ,].*/\1/p')
    elif [[ $word == -* ]]; then
        words=$(signalbox "$command" --help | grep -o -e '--[a-z-]\+' | sort -u)
    elif [[ $command == plan && ($previous == run || $previous == show) ]]; then
        words=$(signalbox plan list 2>/dev/null | awk 'NR > 1 { print $1 }')
    else
        words=$(signalbox "$command" --help | sed '/^$/,$d' | grep -o -w -e '[a-z]\+' | sort -u | grep -v -x -e usage -e signalbox -e "$command")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _signalbox signalbox

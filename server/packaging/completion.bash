# Completion of signalbox for bash: what may stand at the cursor says the program itself, and asks the server for names.
_signalbox() {
    local words
    words=$(signalbox --complete "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
    if [[ $words == :files ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    else
        mapfile -t COMPREPLY <<<"$words"
    fi
}
complete -F _signalbox signalbox

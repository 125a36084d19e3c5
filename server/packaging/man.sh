#!/bin/sh
# man.sh PROGRAM SECTION "one line" [COMMAND...]: a manual page on stdout, from what the program's --help says.
# man.sh PROGRAM 5 "one line" FILE: that of its settings, of which FILE is an example.
set -eu
program=$1 section=$2 line=$3
shift 3
name=$(basename "$program")
text() { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"; }
help() { "$program" "$@" --help | text; }
section() { printf '.SH %s\n' "$1"; }
# page NAME
page() {
    printf '.TH %s %s "" "%s"\n' "$(echo "$1" | tr '[:lower:]' '[:upper:]')" "$section" "$("$program" --version)"
    printf '.SH NAME\n%s \\- %s\n' "$1" "$line"
}

if [ "$section" = 5 ]; then
    file=$(basename "$1")
    page "$file"
    section DESCRIPTION
    printf '.I /etc/signalbox/%s\nholds the settings of\n.BR %s (8).\n.nf\n' "$file" "$name"
    section EXAMPLE
    printf '.nf\n'
    text <"$1"
    section SETTINGS
    printf '.nf\n'
    help
    section "SEE ALSO"
    printf '.BR %s (8)\n' "$name"
    exit
fi
page "$name"
section SYNOPSIS
printf '.B %s\n' "$name"
[ $# -eq 0 ] || printf '[\\fIflag\\fR ...] \\fIcommand\\fR [...]\n'
[ $# -gt 0 ] || printf '[\\fIflag\\fR ...]\n'
section DESCRIPTION
printf '.nf\n'
help
for command; do
    section "$(echo "$name $command" | tr '[:lower:]' '[:upper:]')"
    printf '.nf\n'
    help "$command"
done
if [ $# -gt 0 ]; then
    section "EXIT STATUS"
    for row in "0 ok" "1 failed" "2 usage: nothing was asked" "3 refused by a rule" "5 rolled back" \
        "6 the server cannot be reached, or does not answer: whether a change was made is not known"; do
        printf '.TP\n%s\n%s\n' "${row%% *}" "${row#* }"
    done
fi

#!/bin/sh
# man.sh PROGRAM SECTION "one line" [COMMAND...]: a manual page on stdout, from what the program's --help says.
set -eu
program=$1 section=$2 line=$3
shift 3
name=$(basename "$program")
help() { "$program" "$@" --help | sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"; }
section() { printf '.SH %s\n.nf\n' "$1"; }

printf '.TH %s %s "" "%s"\n' "$(echo "$name" | tr '[:lower:]' '[:upper:]')" "$section" "$("$program" --version)"
printf '.SH NAME\n%s \\- %s\n' "$name" "$line"
section DESCRIPTION
help
for command; do
    section "$(echo "$name $command" | tr '[:lower:]' '[:upper:]')"
    help "$command"
done

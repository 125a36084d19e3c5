#!/bin/sh
# changelog.sh PACKAGE VERSION "MAINTAINER": CHANGELOG.md on stdin becomes a Debian changelog: its newest part.
set -eu
printf '%s (%s) unstable; urgency=medium\n\n' "$1" "$2"
awk '/^## / { part++; next } part == 1 { print }' | sed 's/\*\*//g' |
    awk '/^- / { if (text != "") print text; text = substr($0, 3); next } NF { sub(/^ +/, ""); text = text " " $0 }
        END { print text }' |
    while read -r text; do echo "$text" | fold -s -w 72 | sed -e '1s/^/  * /' -e '2,$s/^/    /' -e 's/ *$//'; done
printf '\n -- %s  %s\n' "$3" "$(date -u -R -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}")"

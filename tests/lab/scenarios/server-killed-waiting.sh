#!/usr/bin/env bash
# SIGKILL of signalboxd at ten more places around outcomes, waits, proof and DNS updates, as in server-killed
# shellcheck disable=SC2034 # for the script below
out=("before-journal~move-out=succeeded" "after-journal~/to-lines/set" "after-publish~/to-lines/set" "before-update"
    "before-journal~edges=succeeded")
# shellcheck disable=SC2034
back=("before-update@2" "after-update@2" "after-journal~edges=succeeded" "after-journal~dns=succeeded"
    "before-journal~proof=succeeded")
# shellcheck source=tests/lab/scenarios/server-killed.sh
source "$(dirname "$(readlink -f "$0")")/server-killed.sh"

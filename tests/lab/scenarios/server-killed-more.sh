#!/usr/bin/env bash
# SIGKILL of signalboxd at eighteen more places, as in server-killed
# shellcheck disable=SC2034 # for the script below
out=("before-journal~started by" "before-journal~move-out=running" "after-journal~move-out=running"
    "after-journal~/move-out/set" "before-publish~/move-out/set" "before-journal~move-out=succeeded"
    "after-publish~/to-lines/set" "before-update" "before-journal~edges=succeeded")
# shellcheck disable=SC2034
back=("before-reply" "after-journal~healthy=succeeded" "before-journal~/move-back/set" "after-publish~/move-back/set"
    "before-update@2" "after-update@2" "after-journal~edges=succeeded" "after-journal~dns=succeeded"
    "before-journal~proof=succeeded")
# shellcheck source=tests/lab/scenarios/server-killed.sh
source "$(dirname "$(readlink -f "$0")")/server-killed.sh"

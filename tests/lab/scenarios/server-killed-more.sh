#!/usr/bin/env bash
# SIGKILL of signalboxd at ten more places around journal and publication, as in server-killed
# shellcheck disable=SC2034 # for the script below
out=("before-journal~started by" "before-journal~move-out=running" "after-journal~move-out=running"
    "after-journal~/move-out/set" "before-publish~/move-out/set")
# shellcheck disable=SC2034
back=("before-reply" "after-journal~healthy=succeeded" "before-journal~/move-back/set" "before-publish~/move-back/set"
    "after-publish~/move-back/set")
# shellcheck source=tests/lab/scenarios/server-killed.sh
source "$(dirname "$(readlink -f "$0")")/server-killed.sh"

#!/usr/bin/env bash
# the same as flap for a minute, with the agents' default hold and all servers dead
FLAP_S=60 HOLD_S=60 STAGE_S=5 FORMS=dead exec "$(dirname "$(readlink -f "$0")")/flap.sh"

#!/usr/bin/env bash
# no fault, 10 s of load of every class: nothing fails, every room and entrance answers, 99 % within twice the delay
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
from=$(now_us)
past() { (($(now_us) >= from + 10000000)); }
within 15 "10 s of load" past
to=$(now_us)
traffic_stop load
expect "requests that failed" "$(traffic_figure load 'map(select(.c < 200 or .c > 299)) | length' "$from" "$to")" 0
expect "who answered" "$(traffic_figure load 'map("\(.room).\(.entrance)") | unique | join(" ")' "$from" "$to")" \
    '"room-a.pop-a1 room-a.pop-a2 room-a.ring room-b.pop-b1 room-b.pop-b2 room-b.ring"'
# Connection and name are there already: the median of such a request is the delay of its stream's way. Of all requests
# together: a stream has no more than a few hundred, of which a hundredth is what one hiccup of the machine makes late.
# shellcheck disable=SC2016 # the dollars are jq's
figures='map(select(.reused)) | group_by(.s)
    | map((map(.e - .t) | sort | .[length / 2 | floor]) as $half | {half: $half, times: map((.e - .t) / $half) | sort})
    | ([.[].times[]] | sort | .[length * 99 / 100 | floor]) as $all
    | map(.most = .times[.times | length * 99 / 100 | floor]) | max_by(.most)
    | "\($all) \(.most) \(.half / 1000)"'
read -r ratio widest half < <(traffic_figure load "$figures" "$from" "$to" | jq -r .)
# Who waits for a processor waits longer than for the way.
limit=2
awk -v cores="$(nproc)" '{ exit !($1 > cores) }' /proc/loadavg && limit=10
at_most "99 % of all requests, in the delay of half of their stream" "$ratio" "$limit"
note "$(traffic_figure load length "$from" "$to") requests, 99 % within $ratio times their delay (limit $limit); of the widest stream within $widest times $half ms"

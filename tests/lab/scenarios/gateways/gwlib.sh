# shellcheck shell=bash
# gwlib.sh: lib.sh for scenarios of a lab with gateways; they begin with all lines up and all addresses announced.
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib.sh"

# direct_start NAME ADDRESS SERVICE=HOST CLIENT...: 100 requests a second of each kind of client, past all edges.
direct_start() {
    local client streams=()
    for client in "${@:4}"; do
        streams+=(--stream "${3%%=*}/public/$client=${3#*=}@100")
    done
    traffic_start "$1" --address "$2" --port 80 "${streams[@]}"
}
# escape_start NAME CLIENT...: to room B's escape, which leads to room A
escape_start() { direct_start "$1" 198.51.100.41 single=creator.example.test "${@:2}"; }

# failed NAME [FROM_US [TO_US]]: of any method
failed() { traffic_figure "$1" 'map(select(.c < 200 or .c > 299)) | length' "${@:2}"; }
# rooms NAME [FROM_US [TO_US]]: that answered
rooms() { traffic_figure "$1" 'map(select(.room != "") | .room) | unique | join(" ")' "${@:2}" | jq -r .; }
longest_ms() { traffic_figure "$1" 'map(.e - .t) | max / 1000 | floor' "${@:2}"; }

# forwarder GATEWAY: what it shows of itself
forwarder() { socat -t 5 - "UNIX:$run/$1/forwarder.sock" <<<show; }
# carrying GATEWAY: which of its lines carry, "line-5" or several; ! behind them: none of them is up
carrying() {
    local lines=(line-5 line-6 line-7) mask stranded i text=""
    read -r mask stranded < <(forwarder "$1" | awk '/^group / { print $4, $6 }')
    for i in 0 1 2; do
        ((mask >> i & 1)) && text+="${lines[i]} "
    done
    ((stranded)) && text+="! "
    echo "${text% }"
}
# carry WHAT: both gateways of room B
carry() { [[ $(carrying gw-b1) == "$1" && $(carrying gw-b2) == "$1" ]]; }
# moves GATEWAY: times that it has given flows another line
moves() { forwarder "$1" | sed -n 's/^group .* moves //p'; }
# no_line_waits GATEWAY: none is up that may not carry yet, for what befell it before
no_line_waits() { [[ $(forwarder "$1" | sed -n 's/^group .* waiting \([0-9]*\) .*/\1/p') == 0 ]]; }

# ways [ADDRESS]: gateways that a POP of room A sends its address to, or another one, as its kernel has it
ways() { lab exec pop-a1 ip -j route show "${1:-198.51.100.11}" | jq -r '[.[] | .dev // (.nexthops[] | .dev)] | sort | join(" ")'; }
ways_are() { [[ $(ways "${2:-}") == "$1" ]]; }

# quantile PERCENT NUMBER...
quantile() { printf '%s\n' "${@:2}" | sort -n | awk -v p="$1" '{ a[NR] = $1 } END { n = int((NR * p + 99) / 100); print a[n < 1 ? 1 : n] }'; }
past() { (($(now_us) >= $1)); }

within 60 "lines are up, addresses announced" lab wait 5

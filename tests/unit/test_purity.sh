#!/bin/sh
# Pure code has no way to files, sockets, clocks, randomness, threads, databases or DPDK: looks at what built archives
# leave undefined. First proves that it would find an impure one.
#
#   test_purity.sh ARCHIVE[:MEMBER]...
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What may be undefined, by families; everything else must be defined by pure code itself.
# libc: computing on memory only. Text to address and mutexes touch nothing outside the process.
libc='mem[a-z]*|bcmp|str[a-z]*|__[a-z]*_chk|v?snprintf|sscanf|__isoc[0-9a-z]*_sscanf|qsort|bsearch|abort|free|malloc|calloc|realloc'
libc="$libc"'|inet_(pton|ntop)|pthread_mutex_(init|destroy|lock|unlock)|__assert_fail|__errno_location|__ctype_[a-z_]*'
libc="$libc"'|l*round|f(max|min|abs)|floor|ceil|pow|sqrt|log|log2|exp|isnan|isfinite'
# Compiler and sanitizers.
built='_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(asan|ubsan|tsan|lsan|sanitizer|gcov)_.*|__gcc_.*'
# Libraries; what of them is impure is named below.
libs='g_.*|json_.*|yaml_.*|XXH32|crypto_(generichash|shorthash|auth_hmacsha256).*|sodium_(bin2hex|base642bin|memzero)'
# The kinds of error are the one pure file of core/.
core='sb_error_quark|error_[a-z_]*'
allowed="^($libc|$built|$libs|$core)\$"

glib='g_(get_(real|monotonic|current)_time|date_time_new_now.*|timer_.*|usleep|rand(om)?_.*|uuid_.*|file_[^e].*|file_error_from_errno|mkstemp.*'
glib="$glib"'|open|fopen|creat|unlink|remove|rename|mkdir.*|dir_.*|stat|access|spawn_.*|shell_.*|io_channel_.*|socket_.*'
glib="$glib"'|getenv|setenv|get_environ|get_(home|tmp|current|user|host).*|thread_.*|mutex_.*|rw_lock_.*|cond_.*|once_.*'
glib="$glib"'|async_queue_.*|main_.*|timeout_.*|idle_.*|print|printerr)'
jansson='json_(load_file|loadf|loadfd|load_callback|dump_file|dumpf|dumpfd|object_seed)'
yaml='yaml_(parser|emitter)_set_(input|output)_file'
forbidden="^($glib|$jansson|$yaml)\$"

undefined() {
    nm "$1" | awk 'NF > 1 && $(NF - 1) == "U" || NF > 1 && $(NF - 1) == "w" { print $NF }' | sort -u
}

defined() {
    for a in "$@"; do nm --defined-only "$a"; done | awk 'NF == 3 { print $3 }' | sort -u
}

# Prints what is impure about $1; the rest are archives whose names count as defined. False if there is something.
check() {
    defined "$@" >"$work/defined"
    undefined "$1" >"$work/undefined"
    [ -s "$work/undefined" ] || { echo "$1: nothing found; wrong name?"; return 1; }
    {
        grep -vxFf "$work/defined" "$work/undefined" | grep -vE "$allowed" || true
        grep -E "$forbidden" "$work/undefined" || true
    } >"$work/impure"
    [ -s "$work/impure" ] || return 0
    sed "s|^|$1: not pure: |" "$work/impure"
    return 1
}

# An impure archive must be found, whatever it calls.
prove() {
    printf 'extern long %s(long, long); long f(void); long f(void) { return %s(0, 0); }\n' "$1" "$1" >"$work/x.c"
    "${CC:-cc}" -c -fno-builtin -o "$work/x.o" "$work/x.c"
    rm -f "$work/libx.a"
    ar rc "$work/libx.a" "$work/x.o"
    if check "$work/libx.a" >"$work/found" || ! grep -q ": not pure: $1\$" "$work/found"; then
        echo "the test does not see $1"
        exit 1
    fi
}
for name in clock_gettime time gettimeofday open fopen read write socket connect getrandom rand random sqlite3_exec \
    PQexec curl_easy_perform MHD_start_daemon ares_init rte_eal_init pthread_create g_get_monotonic_time \
    g_random_int g_file_get_contents json_load_file randombytes_buf file_read loop_new getenv; do
    prove "$name"
done

# Pure members stand in an archive with impure neighbours, whose names don't count: only what was asked for is pure.
status=0
pure=
for a in "$@"; do
    case $a in
    *:*)
        ar p "${a%%:*}" "${a#*:}" >"$work/${a#*:}"
        pure="$pure $work/${a#*:}"
        ;;
    *) pure="$pure $a" ;;
    esac
done
for a in "$@"; do
    # shellcheck disable=SC2086 # a list of paths of our own build folder
    case $a in
    *:*)
        check "$work/${a#*:}" $pure || { echo "(member ${a#*:} of ${a%%:*})"; status=1; }
        ;;
    *) check "$a" $pure || status=1 ;;
    esac
done
exit $status

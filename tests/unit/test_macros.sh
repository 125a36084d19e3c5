#!/bin/sh
# GLib's MIN, MAX, CLAMP and ABS take an argument's value twice. One that reads a clock or does something gives two
# values: a thread once slept for a minute, because an answer had come between them. Looks for such arguments.
#
#   test_macros.sh FOLDER...
set -eu

calls='[a-z_]*(_now_us|_time|_turn|_random|_await|_write|_read)|read|recv|poll|time'
line="\\b(MIN|MAX|CLAMP|ABS)\\(.*\\b($calls)\\("
proof='        due_us = MIN(due_us, notify_turn(notify, now_us));'
echo "$proof" | grep -qE "$line" || { echo "would not find: $proof"; exit 1; }
if grep -rnE --include='*.[ch]' "$line" "$@"; then
    echo "these are called twice: give the value a name first"
    exit 1
fi

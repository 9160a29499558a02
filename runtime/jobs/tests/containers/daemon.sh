#!/usr/bin/env bash
# A container daemon in a folder of its own, for as long as standard input stays open: when whoever started this
# ends, however that comes, the daemon ends and its folder goes. When the daemon ends first, its last words are said
# on standard error.
#   daemon.sh docker|podman FOLDER      listens at FOLDER/sock, and says so at $NOTIFY_SOCKET
set -uo pipefail
kind=$1 folder=$2
# conmon notes where it stands that a container ran out of memory.
cd "$folder" || exit 1
case $kind in
  docker)
    dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" -H "unix://$folder/sock" \
      --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
      </dev/null >"$folder/log" 2>&1 &
    ;;
  podman)
    # Without the right to raise limits, the defaults of podman cannot be set.
    cat >"$folder/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    CONTAINERS_CONF="$folder/containers.conf" podman --root "$folder/data" --runroot "$folder/run" \
      --tmpdir "$folder/tmp" system service --time=0 "unix://$folder/sock" </dev/null >"$folder/log" 2>&1 &
    ;;
  *) exit 2 ;;
esac
daemon=$!
# Nothing ever comes; it ends with the process that holds the other end.
cat <&0 >/dev/null 2>&1 &
lifeline=$!
wait -n "$daemon" "$lifeline"
if kill -0 "$lifeline" 2>/dev/null; then
  tail -n 5 "$folder/log" >&2
  kill "$lifeline"
else
  exec 2>/dev/null
  kill "$daemon"
  wait "$daemon"
fi
# What a container that was being made has left mounted.
while read -r mount; do umount -l "$mount"; done < <(awk -v f="$folder/" 'index($5, f) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
rm -rf "$folder"

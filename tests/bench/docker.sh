# Sourced: makes `docker` answer, by a service of its own where none runs. Its folder, and it, go with the script.
#   with_docker CACHE

docker_answers() { docker info >/dev/null 2>&1; }

with_docker() {
  docker_answers && return
  [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null || return 0
  say "starting a Docker service of its own"
  folder=$(mktemp -d)
  export DOCKER_HOST=unix://$folder/socket
  dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" -H "$DOCKER_HOST" \
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$1/dockerd.log" 2>&1 &
  service=$!
  trap 'kill "$service" 2>/dev/null; wait "$service"; rm -rf "$folder"' EXIT
  until docker_answers; do
    if ! kill -0 "$service" 2>/dev/null || [ "$SECONDS" -gt 120 ]; then
      say "Docker's service does not start, see $1/dockerd.log"
      break
    fi
    read -rt 0.2 <> <(:) || true
  done
}

# shellcheck shell=bash
# docker.sh - a Docker daemon of one's own, in a directory of its own, gone at the end.
#
#     docker_start DIRECTORY outside    to build images: containers use this machine's network
#     docker_start DIRECTORY inside     to run them: the daemon, its bridge and all containers are in
#                                       a network namespace that leads nowhere
#     docker_stop
#
# Sourced. Neither leaves a bridge or a rule of the packet filter behind on the machine. Both use the
# images in DIRECTORY, one after the other. As root. DOCKER_HOST is set meanwhile.

docker_pid=
docker_run= # sockets and logs; short, because the path of a socket ends at 107 bytes

docker_start() { # DIRECTORY outside|inside
    local home=$1 where=$2 wrapper=() options=()
    mkdir -p "$home"
    docker_run=$(mktemp -d /tmp/pgfan-docker-XXXXXX)
    if [ "$where" = inside ]; then
        wrapper=(unshare --net sh -c 'ip link set lo up && exec "$@"' sh)
    else
        options=(--bridge=none --iptables=false --ip-forward=false --ip-masq=false)
    fi
    export DOCKER_HOST=unix://$docker_run/docker.sock
    setsid "${wrapper[@]}" dockerd --data-root "$home/data" --exec-root "$docker_run/exec" \
        --pidfile "$docker_run/pid" --host "$DOCKER_HOST" "${options[@]}" \
        >"$docker_run/log" 2>&1 </dev/null &
    docker_pid=$!
    local _
    for _ in $(seq 300); do
        docker info >/dev/null 2>&1 && return 0
        kill -0 "$docker_pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$docker_run/log" >&2
    docker_stop
    echo 'error: the Docker daemon did not start, its last lines are above' >&2
    return 69
}

docker_stop() {
    [ -n "$docker_pid" ] || return 0
    kill -s TERM "$docker_pid" 2>/dev/null || true
    wait "$docker_pid" 2>/dev/null || true
    # The daemon leaves the network namespace of containers that used its own mounted.
    awk -v home="$docker_run/" 'index($2, home) == 1 {print $2}' /proc/self/mounts | xargs -r umount
    rm -rf --one-file-system "$docker_run"
    docker_pid=
}

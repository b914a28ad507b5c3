#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and runs each for some seconds, beginning with its seeds.
# Usage: run.sh [-t SECONDS] [TARGET]...
#
# New inputs are kept in .run/fuzz/TARGET for the next time; one that breaks a promise is kept as
# .run/fuzz/crash-…, and belongs into tests/fuzz/seeds/TARGET once the cause is found.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=10
while getopts t: option; do
    case "$option" in
    t) seconds=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
targets=("$@")
if [ "$#" = 0 ]; then
    targets=(types query body broker cli_output git history)
fi

command -v c++ >/dev/null || { echo "a C++ compiler is missing, libFuzzer needs it: apt-get install build-essential"; exit 1; }
bins=()
for target in "${targets[@]}"; do
    [ -d "tests/fuzz/seeds/$target" ] || { echo "there is no fuzz target $target"; exit 2; }
    bins+=(--bin "fuzz-${target//_/-}")
done
RUSTC_WORKSPACE_WRAPPER="$PWD/tests/fuzz/instrument.sh" \
    cargo build --locked --workspace --features dreamcore-fuzz/libfuzzer "${bins[@]}"

# The folders that targets work in; in memory where that is possible, because git syncs to the disk.
TMPDIR=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

mkdir -p .run/fuzz
for target in "${targets[@]}"; do
    mkdir -p ".run/fuzz/$target"
    log=".run/fuzz/$target.log"
    # What reads a stream or a stranger's history must stay small whatever comes; the others hold whole
    # requests.
    case "$target" in
    cli_output | git | history) memory_mb=512 ;;
    # The body itself, and a copy of the longest text in it.
    broker) memory_mb=256 ;;
    *) memory_mb=2048 ;;
    esac
    echo "fuzzing $target for $seconds s"
    if "${CARGO_TARGET_DIR:-target}/debug/fuzz-${target//_/-}" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb="$memory_mb" -print_final_stats=1 \
        -artifact_prefix=.run/fuzz/ ".run/fuzz/$target" "tests/fuzz/seeds/$target" >"$log" 2>&1; then
        grep -E 'cov:.*DONE|DONE.*cov:' "$log" || tail -n 3 "$log"
    else
        cat "$log"
        exit 1
    fi
done

#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER of `make fuzz`: the project's own crates count which branches are taken, the
# ones from the registry are used as they were built for everything else.
exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Copt-level=1

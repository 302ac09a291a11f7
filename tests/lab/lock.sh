#!/bin/sh
# lock.sh UV: writes requirements-hashed.txt (dependencies of a service) and requirements-hashed-grpc.txt (those that
# the extra adds): the versions of constraints.txt with the hashes of all their files, without a registry address.
set -eu
cd "$(dirname "$0")/../.."
list() {
    "$1" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate --no-emit-index-url --constraints constraints.txt ${2+--extra "$2"}
}
needed=$(list "$1")
extra=$(list "$1" grpc)
{
    echo "# pip install --require-hashes -r requirements-hashed.txt; then the wheel itself, with --no-deps. Made by: make lock"
    printf '%s\n' "$needed"
} >requirements-hashed.txt
{
    echo "# What the extra grpc needs beside requirements-hashed.txt. Made by: make lock"
    # Entries begin in the first column, their hashes are indented; entries of the first file are left out.
    { printf '%s\n' "$needed"; echo; printf '%s\n' "$extra"; } | awk '
        !NF { again = 1; next }
        /^[^ ]/ { new = again && !($1 in seen); if (!again) seen[$1] }
        new'
} >requirements-hashed-grpc.txt

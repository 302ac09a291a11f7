#!/bin/sh
# go-tool.sh NAME: a pinned program for the tests, built by `go install`; prints its path. Built once, kept in the cache.
# Exit code 3: cannot be had here, and one sentence on stderr says why.
set -eu

OLDEST_GO=25 # 1.25
case ${1:-} in
prometheus) package=github.com/prometheus/prometheus/cmd/prometheus@v0.309.1 ;; # 3.9
promtool) package=github.com/prometheus/prometheus/cmd/promtool@v0.309.1 ;;
pint) package=github.com/cloudflare/pint/cmd/pint@v0.80.0 ;;
helm) package=helm.sh/helm/v3/cmd/helm@v3.22.0 ;;
kubeconform) package=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0 ;;
helm-unittest) package=github.com/helm-unittest/helm-unittest/cmd/helm-unittest@v1.0.1 ;;
actionlint) package=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 ;;
*)
    echo "usage: go-tool.sh prometheus|promtool|pint|helm|kubeconform|helm-unittest|actionlint" >&2
    exit 2
    ;;
esac

folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/go-tools"
version=${package##*@}
tool=$folder/$version/$1

unavailable() {
    echo "go-tool: $1 $version $2" >&2
    exit 3
}

if [ ! -x "$tool" ]; then
    command -v flock >/dev/null 2>&1 || unavailable "cannot be had: flock is missing here."
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -x "$tool" ]; then # nor was it built by whoever held the lock
        go=$("$(dirname "$0")/golang.sh" "$OLDEST_GO" "$folder") || exit 3
        log=$folder/$1.log
        # Into a folder of its own first: what is half built is never taken for the tool.
        GOBIN=$folder/make GOTOOLCHAIN=local nice -n 19 "$go" install -trimpath -ldflags="-s -w" "$package" >"$log" 2>&1 ||
            unavailable "cannot be built: $(grep -v '^go: downloading' "$log" | tail -n 1 | cut -c1-300)"
        mkdir -p "$folder/$version"
        mv "$folder/make/$1" "$tool"
    fi
fi
echo "$tool"

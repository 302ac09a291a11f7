#!/bin/bash
# image.sh FOLDER: builds the Dockerfile with buildah on a Debian of debootstrap (BASE: no registry is needed), and
# prints the folder with the image's files. FOLDER contains base, images and containers; the base is kept for the next
# build, and the rest of the machine is not changed. FOLDER/image.json is the configuration of the image.
#   tests/lab/image.sh /tmp/image
# `--unmount /tmp/image` unmounts these files, `--remove /tmp/image` removes all.
# Exit code 3: unavailable on this machine; stderr has the reason in one sentence.
set -eu

SUITE=trixie
# Not part of Debian's slim images.
SLIM='doc info linda lintian/overrides locale man'
repository=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$PATH:/usr/sbin

unavailable() {
    echo "image: $1" >&2
    exit 3
}

task=build
case ${1:-} in --unmount | --remove) task=${1#--} && shift ;; esac
[ $# = 1 ] || {
    echo "usage: image.sh [--unmount|--remove] FOLDER" >&2
    exit 2
}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
log=$folder/log
# chroot: the build needs no container runtime, no network and no namespaces.
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker CONTAINERS_STORAGE_CONF=$folder/storage.conf
b() { buildah --root "$folder/store" --runroot "$folder/run" "$@"; }

if [ $task != build ]; then
    if [ -d "$folder/store" ]; then b rm --all >/dev/null; fi
    if [ $task = remove ]; then
        if [ -d "$folder/store" ]; then b rmi --all --force >/dev/null; fi
        rm -rf --one-file-system "$folder"
    fi
    exit 0
fi

[ "$(id -u)" = 0 ] || unavailable "only root can make it."
for tool in apt-get buildah debootstrap flock; do
    command -v "$tool" >/dev/null 2>&1 || unavailable "$tool is missing here; .ci/install-system-packages image has it."
done
exec 9>"$folder/lock"
flock 9
: >"$log"
quietly() { "$@" >>"$log" 2>&1 || unavailable "it cannot be built: $(grep -v '^$' "$log" | tail -n 1 | cut -c1-300); all is in $log"; }

# Copies, if overlays cannot be mounted.
printf '[storage]\ndriver = "overlay"\nrunroot = "%s/run"\ngraphroot = "%s/store"\n' "$folder" "$folder" >"$folder/storage.conf"
if ! b info >/dev/null 2>&1; then
    rm -rf "$folder/store" "$folder/run"
    sed -i 's/overlay/vfs/' "$folder/storage.conf"
fi

if ! b inspect --type image lab/debian >/dev/null 2>&1; then
    # shellcheck disable=SC2016 # apt's own $(...)
    mirror=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" { print $1; exit }')
    [ -n "$mirror" ] || unavailable "apt has no package source on this machine."
    rm -rf "$folder/debian"
    quietly debootstrap --variant=minbase "$SUITE" "$folder/debian" "$mirror"
    for path in $SLIM; do
        echo "path-exclude /usr/share/$path/*" >>"$folder/debian/etc/dpkg/dpkg.cfg.d/slim"
        rm -rf "$folder/debian/usr/share/$path"
    done
    echo 'path-include /usr/share/doc/*/copyright' >>"$folder/debian/etc/dpkg/dpkg.cfg.d/slim"
    rm -rf "$folder"/debian/var/cache/apt/archives/*.deb "$folder"/debian/var/lib/apt/lists/* "$folder"/debian/dev/*
    apt-config dump --format '%F "%v";%n' Acquire | grep -iE '^Acquire::(https?|Check|Retries)' >"$folder/debian/etc/apt/apt.conf.d/50host" || true
    tar -C "$folder/debian" -cf "$folder/debian.tar" .
    rm -rf "$folder/debian"
    printf 'FROM scratch\nADD debian.tar /\n' >"$folder/Dockerfile"
    quietly b build --tag lab/debian --file "$folder/Dockerfile" "$folder"
    rm "$folder/debian.tar"
fi

# Access to the registries of this machine (names, certificates, pip settings), only during the build.
volumes=(--volume /etc/resolv.conf:/etc/resolv.conf:ro)
settings='[global]\n'
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    volumes+=(--volume /etc/ssl/certs/ca-certificates.crt:/lab/certificates.crt:ro)
    settings+='cert = /lab/certificates.crt\n'
fi
if [ -n "${PIP_INDEX_URL:-}" ]; then settings+="index-url = $PIP_INDEX_URL\n"; fi
# shellcheck disable=SC2059 # made above
printf "$settings" >"$folder/pip.conf"
volumes+=(--volume "$folder/pip.conf:/etc/pip.conf:ro")
quietly b build --layers --pull-never --build-arg BASE=localhost/lab/debian --build-arg REVISION=lab \
    "${volumes[@]}" --tag lab/exporter "$repository"
b inspect --type image lab/exporter >"$folder/image.json"
b images --format '{{.Name}} {{.Size}}' >"$folder/sizes"
b rm --all >>"$log" 2>&1 || true
container=$(b from --pull-never localhost/lab/exporter)
b mount "$container"

#!/bin/bash
# bare-debian.sh SUITE FOLDER COMMAND [ARGUMENT...]: runs a command as root in a new Debian in FOLDER/SUITE.
# It contains git, make, python3 and certificates, as a developer's or CI machine does, and no part of this project:
# it shows whether the project installs what it needs. Network, apt sources and pip settings are those of this
# machine. Each run uses a new copy. FOLDER is created if it is missing, and keeps the base system.
#   tests/lab/bare-debian.sh bookworm /tmp/bare sh -c 'git clone -q /source main && cd main && make test'
# BARE_SOURCE (default: this repository) is visible, read-only, as /source. Exit code 3: unavailable on this machine.
set -eu

INCLUDE=ca-certificates,git,make,python3
repository=$(cd "$(dirname "$0")/../.." && pwd)

unavailable() {
    echo "bare-debian: $1" >&2
    exit 3
}

[ $# -ge 3 ] || {
    echo "usage: bare-debian.sh SUITE FOLDER COMMAND [ARGUMENT...]" >&2
    exit 2
}
suite=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
[ "$(id -u)" = 0 ] || unavailable "only root can make and enter it."
PATH=$PATH:/usr/sbin
for tool in apt-get debootstrap flock unshare; do
    command -v "$tool" >/dev/null 2>&1 || unavailable "$tool is missing here."
done

# The mirror of this machine's apt for the suite; otherwise its first mirror, which may have the suite, too.
# shellcheck disable=SC2016 # apt's own $(...)
mirror=$(apt-get indextargets --format '$(SITE) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == "main" && $3 !~ /-security/ && ($3 == suite || first == "") { first = $1 }
        $2 == "main" && $3 == suite { exit } END { print first }')
[ -n "$mirror" ] || unavailable "apt has no package source on this machine."

pristine=$folder/$suite
exec 9>"$folder/.lock"
flock 9
if [ ! -e "$pristine/.complete" ]; then
    rm -rf "$pristine"
    debootstrap --variant=minbase --include="$INCLUDE" "$suite" "$pristine" "$mirror" >"$folder/$suite.log" 2>&1 ||
        unavailable "debootstrap could not make Debian $suite: $(tail -n 1 "$folder/$suite.log")"
    rm -f "$pristine"/var/cache/apt/archives/*.deb
    touch "$pristine/.complete"
fi
flock -u 9
exec 9>&-

# A new copy for each run: packages of one run are not visible to the next.
machine=$(mktemp -d "$folder/run.XXXXXX")
trap 'rm -rf --one-file-system "$machine"' EXIT
cp -a --reflink=auto "$pristine/." "$machine/"

# Access to the registries of this machine: names, certificates, apt sources, pip configuration.
mkdir -p "$machine/source" "$machine/root/work"
cp --dereference /etc/resolv.conf /etc/hosts "$machine/etc/"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/"
fi
rm -f "$machine/etc/apt/sources.list"
if grep -qsE "(^|[[:space:]])$suite([[:space:]]|$)" /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; then
    for sources in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        if [ -e "$sources" ]; then cp "$sources" "$machine${sources}"; fi
    done
else
    echo "deb $mirror $suite main" >"$machine/etc/apt/sources.list"
fi
apt-config dump --format '%F "%v";%n' Acquire | grep -iE '^Acquire::(https?|Check|Retries)' \
    >"$machine/etc/apt/apt.conf.d/50host" || true
if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$machine/etc/"; fi
settings=()
while IFS= read -r setting; do
    case ${setting%%=*} in
    PIP_FIND_LINKS) ;; # a folder of this machine
    PIP_* | SSL_CERT_* | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | [Hh][Tt][Tt][Pp]_[Pp]* | \
        [Hh][Tt][Tt][Pp][Ss]_[Pp]* | [Nn][Oo]_[Pp]* | CI) settings+=("$setting") ;;
    esac
done < <(env)

export BARE_SOURCE=${BARE_SOURCE:-$repository}
# In separate namespaces: no mount and no process (daemon, guest) remains after the command.
# shellcheck disable=SC2016
unshare --mount --pid --fork --kill-child sh -c '
    set -e
    machine=$1; shift
    mount --rbind "$machine" "$machine"
    mount --rbind /sys "$machine/sys"
    mount --rbind /dev "$machine/dev"
    mount -t proc proc "$machine/proc"
    mount --bind "$BARE_SOURCE" "$machine/source"
    mount -o remount,bind,ro "$machine/source"
    exec chroot "$machine" "$@"
' sh "$machine" \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
    ${settings[@]+"${settings[@]}"} sh -c 'cd /root/work && exec "$@"' sh "$@"

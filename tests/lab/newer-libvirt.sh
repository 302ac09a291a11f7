#!/bin/sh
# newer-libvirt.sh: a second, newer libvirt and QEMU (Debian 13's) in a folder, for the tests; prints the folder.
# Nothing of the machine is changed: apt downloads with state of its own, the packages are only unpacked. No
# package is configured, since the daemons need none of what installing does; that makes it a matter of seconds.
# Exit code 3: cannot be had here, and one sentence on stderr says why.
set -eu

SUITE=trixie
PACKAGES="libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils"
TOOLS="base-files libc-bin coreutils dash hostname mount util-linux" # what the lab's own set-up calls inside
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/debian13"
stamp="$folder/.complete"

unavailable() {
    echo "newer-libvirt: $1" >&2
    exit 3
}

# Another recipe makes another folder: the stamp is this script's own checksum.
recipe=$(cksum <"$0")
is_complete() { [ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ]; }

if is_complete; then
    echo "$folder"
    exit 0
fi

[ "$(uname -s)" = Linux ] || unavailable "only Linux runs it."
for tool in apt-get dpkg-deb flock tar; do
    command -v "$tool" >/dev/null 2>&1 || unavailable "$tool is missing here."
done
[ -r "$KEYS" ] || unavailable "$KEYS is missing here, without which Debian's packages cannot be trusted."

mkdir -p "$folder.apt/lists/partial" "$folder.apt/cache/archives/partial"
exec 9>"$folder.apt/lock"
flock 9
if is_complete; then # by whoever held the lock
    echo "$folder"
    exit 0
fi

log="$folder.apt/log"
config="$folder.apt/apt.conf"
: >"$folder.apt/status" # nothing is installed: so every dependency is downloaded
# Read twice, since only what is read after the machine's own configuration (which has the proxy and the
# like) can take back its hooks; they tidy up the machine's apt, which we leave alone.
cat >"$config" <<END
Dir::Etc::main "$config";
Dir::Etc::sourcelist "$folder.apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder.apt/lists";
Dir::State::status "$folder.apt/status";
Dir::Cache "$folder.apt/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
#clear APT::Update;
END
private() { APT_CONFIG="$config" "$@" >"$log" 2>&1; }
# The first thing that went wrong; what follows is consequences.
why() { grep '^[EW]:' "$log" | head -n 1 | cut -c4-; }

# The mirrors that this machine's apt uses, in its order; which of them has the suite is found out by asking.
# shellcheck disable=SC2016 # apt's own $(...)
mirrors=$(apt-get indextargets --format '$(SITE) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "main" && $3 !~ /-security/ && !seen[$1]++ { print $1 }')
found=
for mirror in $mirrors; do
    echo "deb [signed-by=$KEYS] $mirror $SUITE main" >"$folder.apt/sources.list"
    if private apt-get update --error-on=any; then
        found=$mirror
        break
    fi
done
[ -n "$found" ] || unavailable "no package source of this machine has Debian's $SUITE: $(why)"

# shellcheck disable=SC2086
private apt-get install --yes --download-only $TOOLS $PACKAGES ||
    unavailable "Debian's $SUITE cannot be downloaded: $(why)"
# Of the development package only the description of the API is wanted, not the libraries it depends on.
(cd "$folder.apt/cache" && private apt-get download libvirt-dev) ||
    unavailable "Debian's $SUITE cannot be downloaded: $(why)"

building="$folder.building"
rm -rf "$building" "$folder"
mkdir "$building"
unpack() {
    deb=$1
    shift
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$building" --keep-directory-symlink "$@"
}
# base-files first, whose symbolic links say where all others' files go.
# The smaller emulators are left out: libvirt would start each of them to ask what it can do.
for deb in "$folder.apt"/cache/archives/base-files_*.deb "$folder.apt"/cache/archives/*.deb; do
    unpack "$deb" --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
        --exclude='./usr/bin/qemu-system-i386' --exclude='./usr/bin/qemu-system-x86_64-microvm'
done
unpack "$folder.apt"/cache/libvirt-dev_*.deb ./usr/share/libvirt/api

# Of what maintainer scripts leave behind, names are all that the daemons look for; newer.py lends the machine's.
cp "$building/usr/share/libc-bin/nsswitch.conf" "$building/etc/nsswitch.conf"
touch "$building/etc/passwd" "$building/etc/group" "$building/etc/hosts"

rm -rf "$folder.apt/cache" "$folder.apt/lists"
echo "$recipe" >"$building/.complete"
mv "$building" "$folder"
echo "$folder"

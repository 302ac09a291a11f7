#!/bin/sh
# newer-libvirt.sh: a second, newer libvirt and QEMU (Debian 13's) in a folder, for the tests; prints the folder.
# The machine is not changed: apt has its own state, and the packages are unpacked but not configured, which the
# daemons do not need. Takes seconds. Exit code 3: unavailable on this machine; stderr has the reason in one sentence.
set -eu

SUITE=trixie
PACKAGES="libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils"
TOOLS="base-files libc-bin coreutils dash hostname mount util-linux" # used by the lab inside the folder
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/debian13"
stamp="$folder/.complete"

unavailable() {
    echo "newer-libvirt: $1" >&2
    exit 3
}

# The stamp is the checksum of this script: a changed script builds another folder.
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
if is_complete; then # by the process that held the lock
    echo "$folder"
    exit 0
fi

log="$folder.apt/log"
config="$folder.apt/apt.conf"
: >"$folder.apt/status" # no package is installed: every dependency is downloaded
# Read twice: only a file that is read after the machine's configuration (proxy and so on) can remove its hooks,
# which would clean up the apt of the machine.
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
# The first error; later ones are its consequences.
why() { grep '^[EW]:' "$log" | head -n 1 | cut -c4-; }

# The mirrors of this machine's apt, in its order; each is tried until one has the suite.
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
# Only the API description of the development package is needed, not its dependencies.
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
# base-files first: its symbolic links determine where the other files go.
# Without the smaller emulators: libvirt would start each of them to probe its capabilities.
for deb in "$folder.apt"/cache/archives/base-files_*.deb "$folder.apt"/cache/archives/*.deb; do
    unpack "$deb" --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
        --exclude='./usr/bin/qemu-system-i386' --exclude='./usr/bin/qemu-system-x86_64-microvm'
done
unpack "$folder.apt"/cache/libvirt-dev_*.deb ./usr/share/libvirt/api

# Of the files of maintainer scripts the daemons need only those for names; newer_libvirt.py binds those of the machine.
cp "$building/usr/share/libc-bin/nsswitch.conf" "$building/etc/nsswitch.conf"
touch "$building/etc/passwd" "$building/etc/group" "$building/etc/hosts"

rm -rf "$folder.apt/cache" "$folder.apt/lists"
echo "$recipe" >"$building/.complete"
mv "$building" "$folder"
echo "$folder"

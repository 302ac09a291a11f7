#!/bin/sh
# debian-exporter.sh: unpacks Debian's package prometheus-libvirt-exporter into the cache; prints the program's path.
# The file `version` in the folder of the cache has the package's version. The machine is not changed: nothing is installed.
# Exit code 3: unavailable on this machine; stderr has the reason in one sentence.
set -eu

PACKAGE=prometheus-libvirt-exporter
folder="${XDG_CACHE_HOME:-$HOME/.cache}/libvirt-lifecycle-exporter/debian-exporter"
program=$folder/files/usr/bin/$PACKAGE
log=$folder/log

unavailable() {
    echo "debian-exporter: $1" >&2
    exit 3
}
why() { grep '^[EW]:' "$log" | head -n 1 | cut -c4-; }

if [ ! -x "$program" ]; then
    for tool in apt-get dpkg-deb flock; do
        command -v "$tool" >/dev/null 2>&1 || unavailable "$tool is missing here."
    done
    mkdir -p "$folder/lists/partial"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -x "$program" ]; then # nor unpacked by the process that held the lock
        cd "$folder"
        rm -f ./*.deb
        # With lists of its own if the machine's are empty or too old; newer-libvirt.sh explains the configuration.
        cat >apt.conf <<END
Dir::Etc::main "$folder/apt.conf";
Dir::State::lists "$folder/lists";
APT::Sandbox::User "root";
Acquire::Languages "none";
#clear APT::Update;
END
        private() { APT_CONFIG="$folder/apt.conf" apt-get "$@"; }
        if ! apt-get download "$PACKAGE" >"$log" 2>&1; then
            { private update && private download "$PACKAGE"; } >"$log" 2>&1 ||
                unavailable "the package $PACKAGE cannot be downloaded: $(why)"
        fi
        rm -rf files files.new lists apt.conf
        dpkg-deb --extract ./*.deb files.new
        dpkg-deb --field ./*.deb Version >version
        mv files.new files
        rm -f ./*.deb
        [ -x "$program" ] || unavailable "the package $PACKAGE has no program $program."
    fi
fi
echo "$program"

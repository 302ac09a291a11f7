"""The alerts about a host, its connection to libvirt, and the fleet. A table."""

from alerts.generator.alert import CHECK_COMMAND, Alert, recent
from alerts.generator.recordings import CRASH_TIMES, CRASHED_DOMAINS

_HOST = "var-job={{ $labels.job | urlquery }}&var-instance={{ $labels.instance | urlquery }}"
_CRASHES = f"/d/libvirt-crashes?{_HOST}"
_EXPORTER = f"/d/libvirt-exporter?{_HOST}"
_WHERE = "{{ $labels.instance }} ({{ $labels.connection }})"
_RECONNECTS = "libvirt_connection_reconnects_total"

HOSTS = (
    Alert(
        "LibvirtHostCrashBurst",
        f"""
count without (domain, exported_domain) (
  max without (event, reason) {recent(CRASH_TIMES, "%(within_s)s")}
) >= %(domains)s""",
        f"{{{{ $value }}}} domains of {_WHERE} crashed within %(within)s.",
        "That many at once have one cause, and it is the host's: memory, storage, the network to it, a fault of QEMU or the kernel.",
        "libvirt-lifecycle-exporter incidents --kind crashed --since 1h",
        _CRASHES,
    ),
    Alert(
        "LibvirtFleetCrashRateHigh",
        f"""
  %(ratio_record)s > %(ratio)s
and
  %(count_record)s >= %(domains)s
and
  count by (%(fleet)s) ({CRASHED_DOMAINS} > 0) >= %(hosts)s""",
        "{{ $value | humanizePercentage }} of all domains of %(which_fleet)s crashed within 15m.",
        "Several hosts at once: look for what they share. Storage, network, a new kernel, QEMU or guest image.",
        "libvirt-lifecycle-exporter incidents --kind crashed --since 1h",
        "/d/libvirt-fleet?var-job={{ $labels.job | urlquery }}",
    ),
    Alert(
        "LibvirtConnectionDown",
        "libvirt_connection_up == 0",
        f"libvirt does not answer on {_WHERE}.",
        "Its domains may be well, but nothing is heard of them: what happens now is found by comparing once libvirt is back. Alerts "
        "about its domains are not sent meanwhile.",
        CHECK_COMMAND,
        _EXPORTER,
    ),
    Alert(
        "LibvirtConnectionFlapping",
        f"{_RECONNECTS} - min_over_time({_RECONNECTS}[%(within)s]) >= %(reconnects)s",
        f"The connection to libvirt on {_WHERE} was lost and opened again {{{{ $value }}}} times within %(within)s.",
        "libvirtd is being restarted, crashes, or does not answer keepalive messages in time. What happens in the gaps is found "
        "by comparing, but not its causes.",
        CHECK_COMMAND,
        _EXPORTER,
    ),
)

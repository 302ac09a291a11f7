"""The alerts about a host, its connection to libvirt, and the fleet: a table."""

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
        f"{{{{ $value }}}} domains on {_WHERE} crashed in %(within)s.",
        "Likely cause: a problem of the host, such as memory, storage, its network, QEMU or the kernel. Check the kernel log and the "
        "storage of the host first.",
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
        "{{ $value | humanizePercentage }} of all domains of %(which_fleet)s crashed in 15m.",
        "Several hosts are affected. Likely cause: something that they share, such as storage, network, or a new kernel, QEMU or "
        "guest image. Check recent changes first.",
        "libvirt-lifecycle-exporter incidents --kind crashed --since 1h",
        "/d/libvirt-fleet?var-job={{ $labels.job | urlquery }}",
    ),
    Alert(
        "LibvirtConnectionDown",
        "libvirt_connection_up == 0",
        f"The connection to libvirt on {_WHERE} is down.",
        "Domains may be running, but the exporter receives no events; it compares states when libvirt is back. Likely cause: libvirtd "
        "is stopped or hung, or access is denied. Run the command to see the error. Alerts about domains are suspended.",
        CHECK_COMMAND,
        _EXPORTER,
    ),
    Alert(
        "LibvirtConnectionFlapping",
        f"{_RECONNECTS} - min_over_time({_RECONNECTS}[%(within)s]) >= %(reconnects)s",
        f"The connection to libvirt on {_WHERE} was lost {{{{ $value }}}} times in %(within)s.",
        "Likely cause: libvirtd is restarted, crashes, or does not answer keepalive messages in time. Check the log of libvirtd. "
        "Events during the gaps are found by comparing states, but their causes are unknown.",
        CHECK_COMMAND,
        _EXPORTER,
    ),
)

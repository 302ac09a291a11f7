"""The alerts about one domain: a table."""

from alerts.generator.alert import (
    AGO,
    DOMAIN,
    DOMAIN_INLINE,
    EVENT,
    EVENTS_COMMAND,
    HISTORY_COMMAND,
    INCIDENT,
    NAMED,
    PATTERN,
    Alert,
    aged,
    counted,
    recent,
)

_DASHBOARD = (
    "/d/libvirt-domain?var-job={{ $labels.job | urlquery }}&var-instance={{ $labels.instance | urlquery }}"
    "&var-connection={{ $labels.connection | urlquery }}&var-domain={{ or $labels.exported_domain $labels.domain | urlquery }}"
)


def _last(which: str) -> str:
    """Return an expression for the time of the newest of some events of each domain."""
    return f"max without (event, reason) ({EVENT}{{{which}}})"


_STOP_FAILED = f'{EVENT}{{event="stopped",reason="failed"}}'
_STOP_CRASHED = f'{EVENT}{{event="stopped",reason="crashed"}}'
_WATCHDOG = f'{EVENT}{{event="watchdog"}}'
_ARRIVED = _last('event="started",reason="migrated"')
_REASON = "libvirt_domain_state_reason"
_UNWANTED = "watchdog|api_error|crashed"
_ELSEWHERE = "ioerror|migration|postcopy|postcopy_failed"
"""Reasons of a pause that have their own alert or belong to a migration."""

# A panic and the stop after it are one crash. The panic comes first and is more specific.
_CRASHED = f"""
clamp_min(
  time() - (
      {recent(f'{EVENT}{{event="crashed"}}', "%(within_s)s")}
    or
        {recent(_STOP_CRASHED, "%(within_s)s")}
      unless ignoring (event, reason)
          {_last('event="stopped",reason="crashed"')}
        - {_last('event="crashed"')}
        < %(same_s)s
  ),
  0
)"""

_CRASHES = f'libvirt_domain_incidents_total{{kind="crashed",{NAMED}}}'
# The counter detects several crashes between two scrapes; the timestamp detects the first one of a new series.
_TIMES = counted(f'{INCIDENT}{{kind="crashed",{NAMED}}}', "%(within)s")
_CRASH_LOOPING = f"""
  ({_TIMES}
  ) >= %(crashes)s
or
  {_CRASHES} - min_over_time({_CRASHES}[%(within)s]) >= %(crashes)s"""

# A domain that arrived by migration and did not run here continues on the source host: not a failed start.
_START_FAILED = f"""
clamp_min(
  time() - (
      {recent(_STOP_FAILED, "%(within_s)s")}
    unless ignoring (event, reason) (
        {_ARRIVED}
      unless
        {_last('event="stopped",reason!="failed"')} > {_ARRIVED}
    )
  ),
  0
)"""

_PAUSED_UNASKED = aged(f'{_REASON}{{state="paused",reason=~"{_UNWANTED}"}}')
_PAUSED_BY_SOMEBODY = aged(f'{_REASON}{{state="paused",reason!~"{_UNWANTED}|{_ELSEWHERE}"}}')
_STUCK_PAUSED = f"""
  ({_PAUSED_UNASKED}
  ) > %(unwanted_s)s
or
  ({_PAUSED_BY_SOMEBODY}
  ) > %(asked_s)s"""

_BOOTS = counted(f'{EVENT}{{event="started",reason="booted",{NAMED}}}', "%(within)s")
_MOVES = counted(f'{EVENT}{{event=~"started|stopped",reason="migrated",{NAMED}}}', "%(within)s")

# The incident shows why the domain is down. A restart or removal of the domain closes it.
_OUTAGE = f"""
  time() - {INCIDENT}{{kind=~"crashed|hung"}} > %(after_s)s
and
  libvirt_domain_incident_open{{kind=~"crashed|hung"}} == 1
and ignoring (kind, state, reason)
  {_REASON}{{state=~"shutoff|crashed"}}"""


def _dated(state: str, *, since: str, ignoring: str = "") -> str:
    """Return an expression for the seconds that domains have been in a state, by the event that led there; 0: unknown.

    ``libvirt_domain_state_since_timestamp_seconds`` would work too, but it has a series for every domain; the
    timestamp of the event exists only for domains that had the event.
    """
    matching = f" ignoring ({ignoring}) group_left ()" if ignoring else ""
    return f"""
  ({state} == 1)
*{matching}
  clamp_min(time() - {since}, 0)
or
  0 * ({state} == 1)"""


_HUNG_AT = f"""max without (event, reason) (
    label_replace({EVENT}{{event="hung"}}, "signal", "$1", "reason", "(.+)")
  )"""
_HUNG = _dated('libvirt_domain_hung{signal!="watchdog"}', since=_HUNG_AT)
_ON_IO_ERROR = _dated(
    f'{_REASON}{{state="paused",reason="ioerror"}}',
    since=f'max without (event) ({EVENT}{{event="suspended",reason="ioerror"}})',
    ignoring="state",
)
_POSTCOPY_FAILED = _dated(
    f'{_REASON}{{reason="postcopy_failed"}}',
    since=f'max without (event) ({EVENT}{{event=~"suspended|resumed",reason="postcopy_failed"}})',
    ignoring="state",
)
_FOR = "{{ if $value }} for {{ $value | humanizeDuration }}{{ end }}"
_IS_HUNG = "{{ if $value }}has been hung for {{ $value | humanizeDuration }}{{ else }}is hung{{ end }}"

DOMAINS = (
    Alert(
        "LibvirtDomainCrashed",
        _CRASHED,
        f"{DOMAIN} crashed {AGO} ago (reason: {{{{ $labels.reason }}}}).",
        "{{ if eq $labels.reason `crashed` }}The emulator ended unexpectedly: it was killed, the host ran out of memory, or QEMU "
        "failed.{{ else }}The guest kernel reported a crash.{{ end }} Run the command to see the evidence. The alert resolves "
        "%(within)s after the last crash; LibvirtDomainOutage fires if the domain stays down.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainCrashLooping",
        _CRASH_LOOPING,
        f"{DOMAIN} crashed {{{{ $value }}}} times in %(within)s.",
        "Restarting the domain does not fix the cause. Stop the automatic restart, then compare the evidence of the crashes. "
        "The alert resolves when there are fewer than %(crashes)s crashes in %(within)s.",
        f"libvirt-lifecycle-exporter incidents --kind crashed --since 6h --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainHung",
        _HUNG,
        f"{DOMAIN} {_IS_HUNG} (signal: {{{{ $labels.signal }}}}).",
        "libvirt still reports the domain as running, but {{ if eq $labels.signal `emulator` }}the emulator does not respond on "
        "its monitor. Likely cause: storage that does not respond, or a stopped process"
        "{{ else if eq $labels.signal `guest_agent` }}the guest agent stopped responding. Likely cause: a hung or overloaded guest"
        "{{ else }}none of the virtual CPUs runs. Likely cause: a halted guest{{ end }}. Check the storage and the load of the host.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainPausedOnIOError",
        _ON_IO_ERROR,
        f"{DOMAIN} has been paused{_FOR} after a disk I/O error.",
        "QEMU paused the domain to hide the error from the guest. Likely cause: no space left (enospc), or storage that is not "
        "available. Run the command to see the disk, repair the storage, then resume the domain.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainWatchdogFired",
        f"clamp_min(time() - {recent(_WATCHDOG, '%(within_s)s')}, 0)",
        f"The watchdog of {DOMAIN_INLINE} expired {AGO} ago (action: {{{{ $labels.reason }}}}).",
        "The guest kernel or its watchdog daemon is hung, or the guest got too little CPU time. Check the load of the host and the "
        "log of the guest. The alert resolves after %(within)s; another alert fires if the domain stays paused or down.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStartFailed",
        _START_FAILED,
        f"{DOMAIN} failed to start {AGO} ago.",
        "libvirt or QEMU refused the start. Likely cause: a missing device, disk or network, not enough memory, or a missing "
        "permission. Run the command to see the error message. Failed incoming migrations are not included.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStuckPaused",
        _STUCK_PAUSED,
        f"{DOMAIN} has been paused for {AGO} (reason: {{{{ $labels.reason }}}}).",
        "A user, a script or a job paused the domain and did not resume it. Find out who paused it before you resume it. The "
        "alert fires after %(unwanted)s for the reasons watchdog, api_error and crashed, and after %(asked)s for other reasons; "
        "migrations and I/O errors are not included.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStuckShuttingDown",
        aged(f'{_REASON}{{state="shutdown"}}') + " > %(after_s)s",
        f"{DOMAIN} has been shutting down for {AGO}.",
        "The guest has shut down, but the emulator has not exited. Likely cause: storage that does not respond, or a running block "
        "job. Check the state of the emulator process.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainPostcopyFailed",
        _POSTCOPY_FAILED,
        f"{DOMAIN} has been split between two hosts{_FOR} after a failed post-copy migration.",
        "Part of the memory is on each host, and the domain is lost if either emulator exits. Do not destroy the domain on either "
        "host. Repair the network between the hosts, then resume the migration.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainFlapping",
        f"({_BOOTS}\n) >= %(starts)s",
        f"{DOMAIN} was started {{{{ $value }}}} times in %(within)s.",
        "The domain is stopped and started repeatedly, without a crash. Likely cause: two managers that disagree, or a guest that "
        "powers off at boot. Run the command to see how each run ended. Guest reboots and migrations are not counted.",
        f"libvirt-lifecycle-exporter events --since 6h --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainExcessiveMigrations",
        f"sum without (event, reason) ({_MOVES}\n) >= %(moves)s",
        f"{DOMAIN} migrated {{{{ $value }}}} times in %(within)s.",
        "Each migration pauses the domain and uses network bandwidth. Likely cause: a load balancer that moves it back and forth, or "
        "a maintenance that drains hosts in turn. Check the thresholds of the balancer.",
        f"libvirt-lifecycle-exporter events --since 6h --reason migrated --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainOutage",
        _OUTAGE,
        f"{DOMAIN} has been down for {AGO} after {{{{ if eq $labels.kind `hung` }}}}a hang"
        "{{ else }}a crash{{ end }}.",
        "The domain was not restarted, neither by on_crash nor by a manager. Find the cause of the crash, then start the domain. "
        "The alert resolves when the domain runs or is removed.",
        f"libvirt-lifecycle-exporter incidents --open --domain {PATTERN}",
        _DASHBOARD,
    ),
)

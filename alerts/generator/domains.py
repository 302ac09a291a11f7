"""The alerts about one domain. A table."""

from alerts.generator.alert import (
    AGO,
    DOMAIN,
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
    """Return an expression for when the newest of some events of each domain was."""
    return f"max without (event, reason) ({EVENT}{{{which}}})"


_STOP_FAILED = f'{EVENT}{{event="stopped",reason="failed"}}'
_STOP_CRASHED = f'{EVENT}{{event="stopped",reason="crashed"}}'
_WATCHDOG = f'{EVENT}{{event="watchdog"}}'
_ARRIVED = _last('event="started",reason="migrated"')
_REASON = "libvirt_domain_state_reason"
_UNWANTED = "watchdog|api_error|crashed"
_ELSEWHERE = "ioerror|migration|postcopy|postcopy_failed"
"""Reasons of a pause that have an alert of their own, or belong to a migration, which lasts as long as it lasts."""

# A panic and the stop that follows it are one crash: the guest's word, which comes first, is the better one.
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
# The counter sees several between two scrapes, the time sees the first of a new series.
_TIMES = counted(f'{INCIDENT}{{kind="crashed",{NAMED}}}', "%(within)s")
_CRASH_LOOPING = f"""
  ({_TIMES}
  ) >= %(crashes)s
or
  {_CRASHES} - min_over_time({_CRASHES}[%(within)s]) >= %(crashes)s"""

# A domain that came in, and did not get to run here, goes on elsewhere: a migration's failure is no start's.
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

# What the domain is down after is known only while its incident is open; a restart or its removal closes that.
_OUTAGE = f"""
  time() - {INCIDENT}{{kind=~"crashed|hung"}} > %(after_s)s
and
  libvirt_domain_incident_open{{kind=~"crashed|hung"}} == 1
and ignoring (kind, state, reason)
  {_REASON}{{state=~"shutoff|crashed"}}"""


def _dated(state: str, *, since: str, ignoring: str = "") -> str:
    """Return an expression for how long domains have been in a state, by the event that led there; 0: nobody knows.

    Not by the time since when the state is shown: that would read every domain, and this only those that had the event.
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
_AGE = "{{ if $value }}WORDS{{ $value | humanizeDuration }}{{ end }}"
_FOR, _AGO = _AGE.replace("WORDS", " for "), _AGE.replace("WORDS", ", ").replace("}}{{ end", "}} ago{{ end")

DOMAINS = (
    Alert(
        "LibvirtDomainCrashed",
        _CRASHED,
        f"{DOMAIN} crashed {AGO} ago, reason {{{{ $labels.reason }}}}.",
        "{{ if eq $labels.reason `crashed` }}Its emulator ended without being told to: it was killed, ran out of memory, or "
        "has a fault.{{ else }}The guest's kernel reported that it crashed.{{ end }} This goes on for %(within)s after a crash; "
        "if the domain stays down, LibvirtDomainOutage takes over.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainCrashLooping",
        _CRASH_LOOPING,
        f"{DOMAIN} crashed {{{{ $value }}}} times within %(within)s.",
        "Starting it again does not help. It ends when fewer than %(crashes)s crashes lie within %(within)s.",
        f"libvirt-lifecycle-exporter incidents --kind crashed --since 6h --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainHung",
        _HUNG,
        f"{DOMAIN} is hung ({{{{ $labels.signal }}}}){_FOR}.",
        "To libvirt it still runs, but {{ if eq $labels.signal `emulator` }}its emulator no longer answers on its monitor"
        "{{ else if eq $labels.signal `guest_agent` }}its guest agent, which did answer, no longer does"
        "{{ else }}none of its virtual CPUs runs{{ end }}.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainPausedOnIOError",
        _ON_IO_ERROR,
        f"{DOMAIN} stands still since a disk failed (ioerror){_AGO}.",
        "QEMU paused it rather than let the guest see the error. It goes on where it stood once the disk works and it is "
        "resumed. The command shows which disk, and whether space ran out (enospc).",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainWatchdogFired",
        f"clamp_min(time() - {recent(_WATCHDOG, '%(within_s)s')}, 0)",
        f"{DOMAIN} did not feed its watchdog; it ran out {AGO} ago ({{{{ $labels.reason }}}}: what was done about it).",
        "Its kernel or its watchdog daemon stands still, or it was starved of CPU time. This "
        "goes on for %(within)s; if the domain stays paused or down, another alert takes over.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStartFailed",
        _START_FAILED,
        f"{DOMAIN} could not be started (failed), {AGO} ago.",
        "libvirt or QEMU refused: a device, a disk or a network that is not there, not enough memory, a right that is missing. The "
        "command shows QEMU's words. Migrations that fail on their way in are not meant.",
        EVENTS_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStuckPaused",
        _STUCK_PAUSED,
        f"{DOMAIN} has been paused ({{{{ $labels.reason }}}}) for {AGO}.",
        "Somebody or something paused it and did not resume it. Pauses that nobody asks for (watchdog, api_error, crashed) are told "
        "of after %(unwanted)s, others after %(asked)s; migrations and I/O errors are not meant.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainStuckShuttingDown",
        aged(f'{_REASON}{{state="shutdown"}}') + " > %(after_s)s",
        f"{DOMAIN} has been shutting down for {AGO}.",
        "The guest has ended, or is about to, but its emulator has not.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainPostcopyFailed",
        _POSTCOPY_FAILED,
        f"{DOMAIN} stands between two hosts: its post-copy migration broke (postcopy_failed){_AGO}.",
        "Half of its memory is here and half on the other host. It is lost if either emulator ends: destroy neither, repair the "
        "network between the hosts and take the migration up again.",
        HISTORY_COMMAND,
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainFlapping",
        f"({_BOOTS}\n) >= %(starts)s",
        f"{DOMAIN} was started {{{{ $value }}}} times within %(within)s.",
        "Somebody or something keeps stopping and starting it, without a crash. Reboots inside the guest and migrations are no "
        "starts.",
        f"libvirt-lifecycle-exporter events --since 6h --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainExcessiveMigrations",
        f"sum without (event, reason) ({_MOVES}\n) >= %(moves)s",
        f"{DOMAIN} came or went {{{{ $value }}}} times within %(within)s.",
        "It is being moved to and fro, which costs it time and the network bandwidth: two balancers that disagree, or a host that "
        "is drained and filled by turns.",
        f"libvirt-lifecycle-exporter events --since 6h --reason migrated --domain {PATTERN}",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtDomainOutage",
        _OUTAGE,
        f"{DOMAIN} has been down for {AGO}, since it {{{{ if eq $labels.kind `hung` }}}}hung"
        "{{ else }}crashed{{ end }}.",
        "Nobody has started it again; on_crash and whoever watches over it have not either. It ends when the domain runs, or is "
        "removed.",
        f"libvirt-lifecycle-exporter incidents --open --domain {PATTERN}",
        _DASHBOARD,
    ),
)

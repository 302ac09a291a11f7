"""The values of the tables."""

from typing import NamedTuple


class Alert(NamedTuple):
    """One alert; ``%(name)s`` stands for one of its thresholds, ``%(name_s)s`` for the same in seconds."""

    name: str
    expr: str
    summary: str
    description: str
    command: str
    """What to type next, on the host or where the exporter runs."""
    dashboard: str
    keeps: bool = True
    """Whether it bridges the gap that an exporter's restart leaves."""


class Recording(NamedTuple):
    """One recording rule."""

    record: str
    expr: str
    meaning: str
    """For alerts/README.md."""


EVENT = "libvirt_domain_last_event_timestamp_seconds"
INCIDENT = "libvirt_domain_last_incident_timestamp_seconds"
SINCE = "libvirt_domain_state_since_timestamp_seconds"

NAME = "or $labels.exported_domain $labels.domain"
"""A domain's name, in a template: Prometheus renames the label if the target has a label ``domain``."""
NAMED = 'domain!="_other",exported_domain!="_other"'
"""Matchers for domains that have series of their own."""

DOMAIN = (
    f'{{{{ if eq ({NAME}) "_other" }}}}A domain beyond --series.limit{{{{ else }}}}'
    f"Domain {{{{ {NAME} }}}}{{{{ end }}}} on"
    " {{ $labels.instance }} ({{ $labels.connection }})"
)
"""How a domain is called; ``_other`` is none."""

PATTERN = f'{{{{ reReplaceAll "[^A-Za-z0-9_:@-]" "." ({NAME}) }}}}'
"""A domain's name as a regular expression that no shell misreads: names are strangers' words."""

EVENTS_COMMAND = (
    f'libvirt-lifecycle-exporter events --since 1h{{{{ if ne ({NAME}) "_other" }}}} '
    f"--domain {PATTERN}{{{{ end }}}}"
)

HISTORY_COMMAND = f"libvirt-lifecycle-exporter events --limit 20 --domain {PATTERN}"
"""The same for a state, which may have begun days ago; domains without series of their own show none."""

CHECK_COMMAND = (
    "libvirt-lifecycle-exporter check"
    '{{ if match "^[a-z]+:///[A-Za-z0-9_./-]*$" $labels.connection }} --libvirt.uri '
    "'{{ $labels.connection }}'{{ end }}"
)
"""What is no URI of this very host is a name of the settings', or lacks the way there."""

AGO = "{{ $value | humanizeDuration }}"
"""The age of what happened, where that is the expression's value."""


AHEAD = 120
"""Seconds by which a host's clock may be ahead; LibvirtExporterClockSkewed tells of less."""


def aged(state: str) -> str:
    """Return an expression for how long domains have been in a state: seconds, never below 0."""
    return f"""
  {state}
* ignoring (state, reason) group_left ()
  clamp_min(time() - {SINCE}, 0)"""


def counted(series: str, window: str) -> str:
    """Return an expression for how often something happened in a window, from the time when it did last.

    Each change is one; so is what the series begins with, unless that is older than the window.
    """
    first = f"min_over_time({series}[{window}])"
    return f"""
    changes({series}[{window}])
  + ({first} > bool (time() - %(within_s)s)) * ({first} < bool (time() + {AHEAD}))"""


def recent(timestamp: str, seconds: str) -> str:
    """Return an expression for the times of a gauge, of those that happened in the last ``seconds``.

    A host's clock may have been ahead: what was shown ``seconds`` ago already is older than that, whatever
    its time says. A crash is reported at once even then, ends in time, and does not come back when the clock
    catches up.
    """
    shown = f"last_over_time({timestamp}[5m] offset {seconds}s)"
    return f"({timestamp} > time() - {seconds} unless {timestamp} == {shown})"

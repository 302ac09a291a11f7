"""Value types and templates of the tables."""

from typing import NamedTuple


class Alert(NamedTuple):
    """One alert. ``%(name)s`` stands for a threshold, ``%(name_s)s`` for the same in seconds."""

    name: str
    expr: str
    summary: str
    description: str
    command: str
    """The next command to run, on the host or where the exporter runs."""
    dashboard: str
    keeps: bool = True
    """Whether it keeps firing during a restart of the exporter (``keep_firing_for``)."""


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
"""Matchers for domains that have their own series."""

DOMAIN = (
    f'{{{{ if eq ({NAME}) "_other" }}}}A domain beyond --series.limit{{{{ else }}}}'
    f"Domain {{{{ {NAME} }}}}{{{{ end }}}} on"
    " {{ $labels.instance }} ({{ $labels.connection }})"
)
"""Subject of a summary. Domains beyond the series limit share the name ``_other``."""

DOMAIN_INLINE = DOMAIN.replace("A domain", "a domain").replace("Domain {{", "domain {{")
"""The same inside a sentence."""

PATTERN = f'{{{{ reReplaceAll "[^A-Za-z0-9_:@-]" "." ({NAME}) }}}}'
"""A domain's name as a regular expression that is safe in a shell: users choose the names."""

EVENTS_COMMAND = (
    f'libvirt-lifecycle-exporter events --since 1h{{{{ if ne ({NAME}) "_other" }}}} '
    f"--domain {PATTERN}{{{{ end }}}}"
)

HISTORY_COMMAND = f"libvirt-lifecycle-exporter events --limit 20 --domain {PATTERN}"
"""The same for a state, which may have begun days ago. Domains without their own series have no state."""

CHECK_COMMAND = (
    "libvirt-lifecycle-exporter check"
    '{{ if match "^[a-z]+:///[A-Za-z0-9_./-]*$" $labels.connection }} --libvirt.uri '
    "'{{ $labels.connection }}'{{ end }}"
)
"""``--libvirt.uri`` is added for local URIs only: other labels are names, or lack the transport."""

AGO = "{{ $value | humanizeDuration }}"
"""The value of the expression as a duration."""


AHEAD = 120
"""Seconds by which a host's clock may be ahead; LibvirtExporterClockSkewed fires earlier."""


def aged(state: str) -> str:
    """Return an expression for how long domains have been in a state: seconds, never below 0."""
    return f"""
  {state}
* ignoring (state, reason) group_left ()
  clamp_min(time() - {SINCE}, 0)"""


def counted(series: str, window: str) -> str:
    """Return an expression for the number of occurrences in a window, from a last-occurrence timestamp.

    Each change of the timestamp counts as one. The first sample of the series counts as one, unless it is
    older than the window.
    """
    first = f"min_over_time({series}[{window}])"
    return f"""
    changes({series}[{window}])
  + ({first} > bool (time() - %(within_s)s)) * ({first} < bool (time() + {AHEAD}))"""


def recent(timestamp: str, seconds: str) -> str:
    """Return an expression for the timestamps of a gauge that lie in the last ``seconds``.

    If the host's clock was ahead, a timestamp can lie in the future. A timestamp that was already exposed
    ``seconds`` ago is older than that, whatever its value. So a crash fires at once, resolves in time, and
    does not fire again when the clock catches up.
    """
    shown = f"last_over_time({timestamp}[5m] offset {seconds}s)"
    return f"({timestamp} > time() - {seconds} unless {timestamp} == {shown})"

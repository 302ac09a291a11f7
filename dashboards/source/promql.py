"""PromQL: selectors that obey the variables, and the questions that several panels ask.

Law: every selector has ``job`` and ``instance``; the connection's label is the same on every host, so no
grouping of domains or hosts is without them.
"""

from collections.abc import Iterable
from typing import Final

from dashboards.source.look import NOTHING
from dashboards.source.look import STATES as STATE_NUMBERS

SCOPE: Final = 'job=~"$job",instance=~"$instance"'
HOST: Final = f'{SCOPE},connection=~"$connection"'
DOMAIN: Final = f'{HOST},domain="$domain"'
"""One, taken literally: Grafana does not escape the value of a variable that has but one."""

AHEAD: Final = 120
"""Seconds by which a host's clock may be ahead."""
BY_HOST: Final = "job,instance,connection"
BY_DOMAIN: Final = f"{BY_HOST},domain"
BY_EXPORTER: Final = "job,instance"

EVENTS: Final = "libvirt_connection_lifecycle_events_total"
RAW_EVENTS: Final = "libvirt_connection_raw_events_total"
LAST_EVENT: Final = "libvirt_domain_last_event_timestamp_seconds"
LAST_INCIDENT: Final = "libvirt_domain_last_incident_timestamp_seconds"
DURATION: Final = "libvirt_domain_operation_duration_seconds"
EXPORTER: Final = "libvirt_lifecycle_exporter_"

STATES: Final = "connection:libvirt_domain_state:sum"
OPEN: Final = "connection:libvirt_domain_incident_open:sum"
BURSTS: Final = "connection:libvirt_connection_failures:increase1h"
"""Recording rules of alerts/, for what would be slow with 50,000 domains."""

KINDS: Final = ("crashed", "hung", "io_error", "failed")
"""The kinds of incidents."""
OBSERVED: Final = 'state!="unknown"'
"""The states of domains whose connection is up."""
ABNORMAL: Final = (
    'event=~"stopped|crashed|hung|suspended",'
    'reason=~"crashed|failed|hung|panicked|crashloaded|emulator|watchdog|guest_agent|vcpu|ioerror|api_error|postcopy_failed|unknown"'
)
"""What nobody asked for, and what was found so after a time in which nobody listened."""


def pick(metric: str, scope: str = HOST, more: str = "") -> str:
    """Write a selector."""
    return f"{metric}{{{scope}{',' if more else ''}{more}}}"


def own(name: str, scope: str = SCOPE) -> str:
    """Select one of the exporter's metrics about itself."""
    return pick(f"{EXPORTER}{name}", scope)


SEEN: Final = f"last_over_time({own('build_info')}[$__range])"
"""The exporters of the range. Prometheus scrapes others, too: with all jobs chosen, ``up`` is everybody's."""


def unreached() -> str:
    """The exporters that Prometheus cannot reach; of a job that has one all count, since some were never seen."""
    return f"(max by ({BY_EXPORTER}) ({pick('up', SCOPE)}) == 0 and on (job) {SEEN})"


def largest(metric: str, by: str = BY_EXPORTER) -> str:
    """The largest value within the range, asked once."""
    return f"max by ({by}) (max_over_time({metric}[$__range] @ end()))"


def ours(what: str) -> str:
    """Of metrics that other programs have, too, those of the exporters."""
    return f"{what} and on ({BY_EXPORTER}) last_over_time({own('build_info')}[$__range] @ end())"


def worst(what: str, ranked: str, by: str = BY_EXPORTER, order: str = "topk") -> str:
    """Only so many lines as can be told apart: the same at each step, of whom ``ranked`` says the most."""
    return f"{what} and on ({by}) {order}(10, {ranked})"


def worst_of(metric: str) -> str:
    """A gauge of the exporters, where it was largest."""
    return worst(f"max by ({BY_EXPORTER}) ({metric})", largest(metric))


def recent(timestamp: str, seconds: str) -> str:
    """The times that lie in the last ``seconds``; a clock that was ahead makes none of them recent for hours."""
    return f"({timestamp} > time() - {seconds} < time() + {AHEAD})"


def is_recent(timestamp: str, seconds: str) -> str:
    """The same as 1 or 0."""
    return f"({timestamp} >= bool (time() - {seconds})) * ({timestamp} < bool (time() + {AHEAD}))"


def happened(timestamp: str) -> str:
    """How often something happened within the range, from the gauge that says when it last did.

    Exact, where increase() extrapolates; right for a series that is born with its first event; and quick, since
    there is a series only where something happened. Two within one scrape are one.
    """
    return (
        f"changes({timestamp}[$__range]) + {is_recent(f'min_over_time({timestamp}[$__range])', '$__range_s')}"
    )


def count(metric: str, scope: str = HOST, more: str = "", by: str = "") -> str:
    """How much a counter grew within the range, as a whole number."""
    grown = f"increase({pick(metric, scope, more)}[$__range])"
    return f"round({total(grown, by)})"


def growth(counter: str) -> str:
    """How much a counter grew in each step, for each series: at its end, less what was last known before it;
    less its first sample where that is in this step.

    The sum of the steps is exact at every zoom. rate() and increase() need two samples in one window: they miss
    what the exporter counted while Prometheus could not scrape it (blind time, the stops found after a restart), if
    the gap is longer than the window or a step ends in it. Gaps of up to a day are bridged. A counter that fell
    began again at 0.
    """
    before = f"(last_over_time({counter}[1d] offset $__interval) or min_over_time({counter}[$__interval]))"
    now = f"last_over_time({counter}[$__interval])"
    return f"{now} - ({before} <= {now} or {now} * 0)"


def over_time(metric: str, scope: str = HOST, more: str = "", by: str = "") -> str:
    """How much a counter grew in each step, added up."""
    return total(growth(pick(metric, scope, more)), by)


BORN_AT_0: Final = (
    'event=~"hung"',
    'reason=~"crashed|panicked|crashloaded|failed|hung|ioerror"',
    'event="suspended",reason="watchdog"',
)
"""The pairs that the exporter shows before they happen, at 0: the first one is growth. Not so the others."""


def events_over_time() -> str:
    """How often which event happened to the domain in each step, from the first one on.

    ``growth()`` does not see a counter's first event where it is born with it, at 1. A timestamp that was not there
    before, and is that new, is such a first one; not if it is old, and comes back after a restart. Where the
    counter began at 0, the first one is growth, and counted but once.
    """
    grew = growth(pick("libvirt_domain_lifecycle_events_total", DOMAIN))
    at = pick(LAST_EVENT, DOMAIN)
    first = is_recent(
        f"({at} unless last_over_time({at}[1d] offset $__interval))", "$__interval_ms / 1000 - 60"
    )
    from_0 = f"({' or '.join(pick(LAST_EVENT, DOMAIN, pair) for pair in BORN_AT_0)})"
    more = f'label_replace({first} unless {from_0}, "first", "yes", "", "")'
    return f"sum by (event,reason) ({grew} > 0 or {first} and {from_0} or {more}) > 0"


def total(what: str, by: str = "") -> str:
    """Add up."""
    return f"sum by ({by}) ({what})" if by else f"sum({what})"


def or_zero(what: str) -> str:
    """Nothing is 0, and says so."""
    return f"({what}) or vector(0)"


def or_row(what: str, row: str, **labels: str) -> str:
    """A row with these labels where there is none: a timeline does not say so otherwise."""
    for label, word in labels.items():
        row = f'label_replace({row}, "{label}", "{word}", "", "")'
    return f"{what} or {row}"


def or_nothing(what: str, seen: str, **labels: str) -> str:
    """The row of nothing; ``seen``: what is there if there was anything."""
    return or_row(what, f"vector({NOTHING}) unless on () {seen}", **labels)


def zeros(gauge: str, label: str, values: Iterable[str]) -> str:
    """A 0 with each value of a label, where there is the gauge, which has no such label."""
    return " or ".join(f'label_replace(0 * {gauge}, "{label}", "{value}", "", "")' for value in values)


def incidents(scope: str = HOST, kind: str = "", by: str = BY_DOMAIN) -> str:
    """Incidents that began in the range."""
    which = pick(LAST_INCIDENT, scope, f'kind=~"{kind}"' if kind else "")
    return f"sum by ({by}) ({happened(which)})" if by else f"sum({happened(which)})"


def state_number(scope: str) -> str:
    """The state of domains as a number of ``look.STATES``.

    Right for exporters that show the current state only, and for those with a series (0 or 1) for each state.
    """
    each = [
        pick("libvirt_domain_state", scope, f'state="{state}"') + f" * {number}"
        for state, (number, _) in STATE_NUMBERS.items()
        if number
    ]
    return f"sum by ({BY_DOMAIN}) ({' or '.join(each)} or {pick('libvirt_domain_state', scope)} * 0)"


def grown(bucket: str) -> str:
    """How much the buckets of a histogram grew within the range, by ``le``.

    The difference of two moments: increase() would read every sample of every bucket between them, which takes
    seconds for a day of 1,000 hosts. A series that was not there at the beginning was 0: these start at 0.
    """
    return f"sum by (le) (clamp_min({bucket} - ({bucket} offset $__range or {bucket} * 0), 0))"


def longest(share: float, bucket: str) -> str:
    """A quantile of what was measured within the range; nothing, not NaN, where nothing was."""
    return f"histogram_quantile({share:g}, {grown(bucket)}) >= 0"


def quantile(share: float, bucket: str, counted: str, by: str = "") -> str:
    """A quantile of a histogram at each step; nothing, not NaN, where nothing was measured."""
    window = "$__rate_interval"
    group, on = (f"le,{by}", f"on ({by})") if by else ("le", "on ()")
    measured = total(f"increase({counted}[{window}])", by)
    return f"histogram_quantile({share:g}, sum by ({group}) (increase({bucket}[{window}]))) and {on} ({measured} > 0)"

"""The engine: processes the messages from libvirt, in order, and collects what they change.

One handler for each type of message (``Engine._handlers``) calls the parts of this package. The results are a
``ChangeBatch``, which the worker writes and applies, and ``Requests``, which it sends to the connections.

Invariant: a message changes what is known, or nothing; what is counted is counted once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libvirt_lifecycle_exporter.engine.change_collector import ChangeCollector, Requests
from libvirt_lifecycle_exporter.engine.changes import Change, ChangeBatch
from libvirt_lifecycle_exporter.engine.classify import AMBIGUOUS, Classifier
from libvirt_lifecycle_exporter.engine.coverage import GRACE, Coverage, Grace
from libvirt_lifecycle_exporter.engine.filter_scope import FilterScope
from libvirt_lifecycle_exporter.engine.hang_signals import DEFAULT_THRESHOLDS, HangThresholds
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.host_reboots import HostReboots
from libvirt_lifecycle_exporter.engine.inventory import Inventory
from libvirt_lifecycle_exporter.engine.reconcile import Reconciler
from libvirt_lifecycle_exporter.engine.record import DomainRecord, Records
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, SavedState, TotalKey
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.engine.translate import translate
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    HostIdentified,
    Listing,
    Lookup,
    Message,
    Observation,
    ProbeResults,
)
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import LIFECYCLE
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor, ClockRecord


class Engine:
    """Processes messages. Owned by the worker thread."""

    def __init__(
        self,
        connections: Iterable[str],
        series: SeriesLimit,
        domain_filter: DomainFilter,
        *,
        series_ttl: float,
        loop_iterations: Callable[[], int],
        clock: Callable[[], float],
        next_order: Callable[[], int],
        thresholds: HangThresholds = DEFAULT_THRESHOLDS,
        grace: Grace = GRACE,
        clock_monitor: ClockMonitor | None = None,
    ) -> None:
        """Create an engine without any domains.

        ``series_ttl``: seconds for which a removed domain is kept. ``loop_iterations``: returns the number
        of iterations of the libvirt event loop. ``clock``: Unix time, seconds; ``clock_monitor``, if given,
        is used instead. ``next_order``: returns the next position in the order of arrival.
        """
        self._series = series
        self._filter_scope = FilterScope(domain_filter)
        self._series_ttl = series_ttl
        self._clock = clock if clock_monitor is None else clock_monitor.now
        self._next_order = next_order
        self._records = Records()
        self._classifier = Classifier(self._records)
        self._inventory = Inventory(self._records)
        self._hangs = Hangs(thresholds, self._records)
        self._collector = ChangeCollector(
            series, self._records, self._inventory, self._classifier, self._hangs
        )
        self._reconciler = Reconciler(
            self._records,
            self._collector,
            self._inventory,
            self._classifier,
            self._filter_scope,
            loop_iterations=loop_iterations,
            clock=self._clock,
            next_order=next_order,
        )
        self._coverage = Coverage(connections, grace, clock_monitor)
        self._host_reboots = HostReboots()
        self._clock_monitor = clock_monitor
        self._clock_record: ClockRecord | None = None
        self._lost: dict[str, int] = {}
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            Observation: self._on_observation,
            Listing: self._on_listing,
            Lookup: self._reconciler.apply_lookup,
            HostIdentified: self._on_host_identified,
            ConnectionUp: self._on_connection_up,
            ConnectionDown: self._on_connection_down,
            ProbeResults: self._on_probe_results,
        }

    def restore(self, state: SavedState) -> tuple[SavedState, list[Change]]:
        """Load the state from before a restart. Call it before the first message.

        Return its part that concerns the current connections and filter, and the changes that export it.
        """
        jump = self._restore_clock(state)
        here = self._filter_scope.restore(state.only(self._coverage.names()))
        self._inventory.restore(here.domains, self._filter_scope.previously_listed(here))
        for connection in here.observed_until:
            self._inventory.note_gap(connection, self._next_order())
        changes = self._collector.restore(here, self._clock())
        observed_until = {name: moment + jump for name, moment in here.observed_until.items()}
        self._coverage.restore(observed_until)
        if jump:
            self._collector.batch.observed_until.update(observed_until)
            self._inventory.shift(jump)
            self._collector.shift_outages(jump)
            self._collector.batch.clock_jump = jump
        self._host_reboots.restore(here.hosts)
        return here, changes

    def state(self, counts: dict[CountKey, tuple[int, float]], totals: dict[TotalKey, float]) -> SavedState:
        """Return the current state as the journal stores it, with these counters."""
        domains, incidents = self._collector.rows_to_write()
        return self._filter_scope.with_excluded(
            SavedState(
                counts,
                totals,
                domains,
                self._coverage.observed_until(),
                incidents,
                self._series.aggregated(),
                hosts=self._host_reboots.records(),
                clock=self._clock_record,
            )
        )

    def is_ready(self) -> bool:
        """Return whether at least one connection has been listed completely."""
        return self._coverage.is_ready()

    def hung_signals(self, connection: str, uuid: str) -> tuple[str, ...]:
        """Return the signals by which a domain is hung now."""
        return self._hangs.signals(connection, uuid)

    def down_connections(self) -> list[str]:
        """Return the names of the connections that are down."""
        return self._coverage.down_connections()

    def note_gaps(self, lost: Mapping[str, int]) -> None:
        """Record lost observations. ``lost``: by connection, the order up to which some were lost."""
        if lost != self._lost:
            self._lost = dict(lost)
            for connection, order in self._lost.items():
                self._inventory.note_gap(connection, order)

    def observe_clock(self) -> None:
        """Adjust every stored time that is compared with later times if the wall clock has jumped.

        Call it before processing messages: their times may be from after the jump.
        """
        if self._clock_monitor is None:
            return
        if jump := self._clock_monitor.take_jump():
            self._collector.shift(jump)
            self._reconciler.shift(jump)
            self._inventory.shift(jump)
            self._coverage.shift(jump, self._collector.batch)
            self._collector.batch.clock_jump += jump
        self._note_clock(self._clock_monitor)

    def process(self, message: Message) -> None:
        """Process one message."""
        self._handlers[type(message)](message)

    def periodic_steps(self) -> tuple[Callable[[], None], ...]:
        """Return the periodic steps. The caller runs all of them, also if one raises."""
        now, collector = self._clock(), self._collector
        return (
            lambda: collector.expire(now),
            lambda: collector.count_all(self._classifier.tick(now)),
            lambda: collector.count_all(self._hangs.tick(now)),
            lambda: self._reconciler.request_again(now),
            lambda: self._forget(now - self._series_ttl),
            lambda: self._coverage.record_time(now, collector.batch),
            lambda: self._coverage.show_unknown(collector.batch),
        )

    def _forget(self, before: float) -> None:
        """Forget domains that were removed before a time."""
        for domain in self._inventory.removed_before(before):
            self._collector.forget(domain)

    def _restore_clock(self, state: SavedState) -> float:
        """Resume monitoring the clock; return the jump since the exporter ended, in seconds."""
        if self._clock_monitor is None:
            return 0.0
        self._clock_record = state.clock
        self._clock_monitor.restore(state.clock, max(state.observed_until.values(), default=0.0))
        jump = self._clock_monitor.take_jump()
        self._note_clock(self._clock_monitor)
        return jump

    def _note_clock(self, clock_monitor: ClockMonitor) -> None:
        record = clock_monitor.record()
        if record.differs(self._clock_record):
            self._clock_record = self._collector.batch.clock = record

    def close_verdicts(self) -> None:
        """Close all open verdicts: no more evidence will come."""
        self._collector.count_all(self._classifier.tick(float("inf")))

    def settle(self) -> None:
        """Complete the batch. Call it before ``collect``."""
        self._collector.settle()

    def collect(self) -> tuple[ChangeBatch, Requests]:
        """Return the changes and the requests since the last call. Raises nothing."""
        return self._collector.collect()

    def _on_observation(self, observation: Observation) -> None:
        if not self._filter_scope.passes(observation.name):
            return
        self._collector.requests.look_up(observation.connection, observation.uuid)
        change = translate(observation)
        if change is not None:
            # The only lookup of the record for this event.
            record = self._records.get(observation.connection, observation.uuid)
            self._on_change(record, observation, change)
        elif (known := self._inventory.find(observation.connection, observation.uuid)) is not None:
            known.newest_order = observation.order
        if observation.kind == "agent_lifecycle":
            self._collector.count_all(self._hangs.apply_agent_event(observation))

    def _on_change(self, record: DomainRecord, observation: Observation, change: Transition) -> None:
        """Process a transition. ``change``: the observation, translated."""
        collector = self._collector
        is_lifecycle = observation.kind == LIFECYCLE
        has_inferred_before = is_lifecycle and self._reconciler.infer_before(
            record, change, observation.order
        )
        known = record.domain
        is_known = known is not None and known.present and not has_inferred_before
        state, reason = (known.state, known.reason) if known is not None and is_known else ("", "")
        collector.batch.count_raw_event(change)
        starts_later = False
        if is_lifecycle:
            if change.event == "stopped" and known is not None:
                collector.begin_stop(record, known)
                if change.reason == AMBIGUOUS:
                    collector.requests.explain(change._replace(name=known.name, domain_id=known.domain_id))
            update = self._inventory.apply(record, change, observation.order)
            collector.update_domain(record, update, observation.at)
            starts_later = change.event == "shutdown" and update.domain.has_early_shutdown(change.domain_id)
        elif known is not None:
            known.newest_order = observation.order
        for completed in self._classifier.classify(
            record, observation, change, state, reason, starts_later=starts_later
        ):
            collector.count(record, completed)

    def _on_listing(self, listing: Listing) -> None:
        self._reconciler.apply_listing(listing)
        self._coverage.record_listing(listing.connection, listing.at, self._collector.batch)

    def _on_probe_results(self, probed: ProbeResults) -> None:
        self._collector.count_all(self._hangs.evaluate_probes(probed))

    def _on_host_identified(self, host: HostIdentified) -> None:
        self._inventory.note_driver(host.connection, host.driver)
        if self._host_reboots.update(host, self._collector.batch):
            self._reconciler.infer_host_reboot(host)

    def _on_connection_up(self, message: ConnectionUp) -> None:
        self._coverage.connection_up(message, self._collector.batch)
        self._reconciler.note_gap(message.connection)
        self._hangs.set_connection(message.connection, message.at, up=True)

    def _on_connection_down(self, message: ConnectionDown) -> None:
        self._hangs.set_connection(message.connection, message.at, up=False)
        self._coverage.connection_down(message, self._collector.batch)
        self._reconciler.note_gap(message.connection)

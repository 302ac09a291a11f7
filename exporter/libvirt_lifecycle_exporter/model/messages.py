"""The messages that the hypervisor package sends to the worker.

Immutable values without behaviour, in the order in which they arise. Every string in them has been cleaned
(``text.clean``), and none of them holds a libvirt object. Times named ``at`` are Unix time in seconds.
"""

from typing import NamedTuple


class Observation(NamedTuple):
    """A copy of one libvirt callback; ``engine`` interprets it."""

    order: int
    """Position in the order of arrival, over all connections of this process."""
    at: float
    """When the callback ran; Unix time, seconds."""
    connection: str
    kind: str
    """libvirt's event id, lower snake: ``lifecycle``, ``reboot``, ``watchdog``, ..."""
    uuid: str
    name: str
    domain_id: int
    event: int
    """lifecycle: virDomainEventType; other kinds: their action or state number, else 0."""
    detail: int
    """lifecycle: the event's detail; other kinds: their reason number, else 0."""
    subject: str
    """The object of the event: the disk of an I/O error, the URI of metadata; "" for other kinds."""
    word: str
    """The reason as free text (I/O error); "" for other kinds."""


class RunEvidence(NamedTuple):
    """What distinguishes two runs of a domain with the same id; 0: not known."""

    process_start: int = 0
    """When the emulator's process started; clock ticks since the host booted. A pid proves less: it depends
    on the PID namespace of the reader."""
    cpu_time: int = 0
    """CPU time that the run has used; nanoseconds. It only grows within one run."""


NO_EVIDENCE = RunEvidence()


class DomainFacts(NamedTuple):
    """What libvirt reports about one domain now."""

    uuid: str
    name: str
    domain_id: int
    state: str
    reason: str
    persistent: bool
    autostart: bool
    run_evidence: RunEvidence = NO_EVIDENCE


class Nova(NamedTuple):
    """OpenStack Nova's metadata in the domain XML (namespace openstack.org/xmlns/libvirt/nova)."""

    instance_name: str
    flavor: str
    project_name: str
    project_id: str
    user_name: str
    user_id: str


class OpenNebula(NamedTuple):
    """OpenNebula's metadata in the domain XML (namespace opennebula.org/xmlns/libvirt/1.0)."""

    vm_id: str
    vm_name: str
    user_name: str
    user_id: str
    group_name: str
    group_id: str
    datastore_id: str
    """The system datastore that holds the VM's files."""


class Ovirt(NamedTuple):
    """oVirt's metadata in the domain XML (namespace ovirt.org/vm/1.0)."""

    cluster_version: str
    """The compatibility version of the cluster, such as 4.6."""
    resume_behavior: str
    """What oVirt does after an I/O error: auto_resume, leave_paused or kill."""


class DomainDetails(NamedTuple):
    """What only the domain XML contains."""

    type: str
    title: str
    nova: Nova | None
    opennebula: OpenNebula | None = None
    ovirt: Ovirt | None = None


class Listing(NamedTuple):
    """A complete list of the domains of a connection. Incomplete lists are discarded."""

    began: int
    """The order of arrival when the listing began; later observations are newer than its facts."""
    at: float
    connection: str
    domains: tuple[DomainFacts, ...]


class Lookup(NamedTuple):
    """libvirt's answer about one domain; ``facts`` is None if it does not exist."""

    began: int
    at: float
    connection: str
    uuid: str
    facts: DomainFacts | None
    details: DomainDetails | None
    evidence: str = ""
    """Evidence for the cause, as text, if it was requested and found."""


class EvidenceRequest(NamedTuple):
    """The event whose cause is wanted."""

    name: str
    domain_id: int
    """Of the run that it happened in."""
    event: str
    reason: str
    at: float
    """When it happened; Unix time, seconds."""


class HostIdentified(NamedTuple):
    """The driver and the host behind a connection that was opened; its events come later."""

    order: int
    """Position in the order of arrival: everything that this connection reports is newer."""
    at: float
    connection: str
    driver: str
    """As virConnectGetType returns it: ``QEMU``, ``LXC``, ``TEST``, ..."""
    boot_id: str
    """Boot id of the host of the domains; "" if it cannot be determined (remote connections)."""


class ConnectionUp(NamedTuple):
    """A connection is open, and its callbacks are registered."""

    at: float
    connection: str


class ConnectionDown(NamedTuple):
    """A connection is lost, or could not be opened."""

    at: float
    """Since when the connection has been down; Unix time, seconds."""
    connection: str
    cause: str


class ProbeAnswer(NamedTuple):
    """The result of one hang probe of one domain."""

    uuid: str
    outcome: str
    """``answered``; ``silent``: no answer in time; ``busy``: a job occupies the monitor, so the probe was not
    sent and the state is unknown; ``absent``: the domain has no guest agent or no virtual CPUs."""
    waited: float = 0.0
    """Seconds without an answer, if ``silent``. Signal ``emulator``: how long the oldest command has waited
    for the monitor; ``guest_agent``: how long the probe waited."""
    waiting_client: str = ""
    """Signal ``emulator``, if ``silent``: the client whose command waits for the monitor."""
    cpu_time: int = 0
    """Signal ``vcpu``: CPU time of all virtual CPUs of the domain; nanoseconds."""


class ProbeResults(NamedTuple):
    """The answers of a connection's domains to the probes of one hang signal."""

    at: float
    """When the probes finished; Unix time, seconds."""
    connection: str
    signal: str
    """One of ``vocabulary.HANG_SIGNALS``."""
    answers: tuple[ProbeAnswer, ...]


Message = Observation | Listing | Lookup | HostIdentified | ConnectionUp | ConnectionDown | ProbeResults

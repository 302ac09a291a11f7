"""The metrics of domains and connections: name, type, labels, help text. Names and labels are API.

The exporter's own metrics (``libvirt_lifecycle_exporter_*``) are in ``self_metrics``.

After a change: ``make docs`` (docs/metrics.md), ``tests/prometheus/metrics.golden``, CHANGELOG.md.
"""

from typing import Final

from libvirt_lifecycle_exporter.metrics.exposition import Family

_DOMAIN = ("connection", "domain")

EVENTS: Final = Family(
    "libvirt_domain_lifecycle_events_total",
    "counter",
    (*_DOMAIN, "event", "reason"),
    "Total number of lifecycle transitions of a domain, by event and reason.",
)
LAST_EVENT: Final = Family(
    "libvirt_domain_last_event_timestamp_seconds",
    "gauge",
    (*_DOMAIN, "event", "reason"),
    "Unix timestamp of the most recent transition of this event and reason.",
)
STATE: Final = Family(
    "libvirt_domain_state",
    "gauge",
    (*_DOMAIN, "state"),
    "Whether the domain is in this state (1 = yes); unknown while the connection to libvirt is down.",
)
STATE_REASON: Final = Family(
    "libvirt_domain_state_reason",
    "gauge",
    (*_DOMAIN, "state", "reason"),
    "Always 1. The current state of the domain and libvirt's reason for it.",
)
STATE_SINCE: Final = Family(
    "libvirt_domain_state_since_timestamp_seconds",
    "gauge",
    _DOMAIN,
    "Unix timestamp of when the domain entered its current state or was first seen in it.",
)
META: Final = Family(
    "libvirt_domain_meta",
    "gauge",
    (*_DOMAIN, "uuid", "persistent", "autostart", "type", "title"),
    "Always 1. Metadata of the domain, for joins.",
)
OPENSTACK_META: Final = Family(
    "libvirt_domain_openstack_meta",
    "gauge",
    (
        *_DOMAIN,
        "uuid",
        "instance_name",
        "flavor",
        "project_name",
        "project_id",
        "user_name",
        "user_id",
    ),
    "Always 1. OpenStack Nova's metadata of the domain, for joins.",
)
OPENNEBULA_META: Final = Family(
    "libvirt_domain_opennebula_meta",
    "gauge",
    (
        *_DOMAIN,
        "uuid",
        "vm_id",
        "vm_name",
        "user_name",
        "user_id",
        "group_name",
        "group_id",
        "datastore_id",
    ),
    "Always 1. OpenNebula's metadata of the domain, for joins.",
)
OVIRT_META: Final = Family(
    "libvirt_domain_ovirt_meta",
    "gauge",
    (*_DOMAIN, "uuid", "cluster_version", "resume_behavior"),
    "Always 1. oVirt's metadata of the domain, for joins.",
)
INCIDENTS: Final = Family(
    "libvirt_domain_incidents_total",
    "counter",
    (*_DOMAIN, "kind"),
    "Total number of incidents of a domain, by kind. All transitions with one cause are one incident.",
)
INCIDENT_OPEN: Final = Family(
    "libvirt_domain_incident_open",
    "gauge",
    (*_DOMAIN, "kind"),
    "Whether an incident of this kind is open for the domain (1 = yes).",
)
LAST_INCIDENT: Final = Family(
    "libvirt_domain_last_incident_timestamp_seconds",
    "gauge",
    (*_DOMAIN, "kind"),
    "Unix timestamp of when the most recent incident of this kind began.",
)
HUNG: Final = Family(
    "libvirt_domain_hung",
    "gauge",
    (*_DOMAIN, "signal"),
    "Whether the domain is hung according to this signal (1 = yes). Enabled signals only.",
)
DOMAIN_FAMILIES: Final = (
    EVENTS,
    LAST_EVENT,
    STATE,
    STATE_REASON,
    STATE_SINCE,
    META,
    OPENSTACK_META,
    OPENNEBULA_META,
    OVIRT_META,
    INCIDENTS,
    INCIDENT_OPEN,
    LAST_INCIDENT,
    HUNG,
)

CONNECTION_EVENTS: Final = Family(
    "libvirt_connection_lifecycle_events_total",
    "counter",
    ("connection", "event", "reason"),
    "Total number of lifecycle transitions of all domains of a connection, including removed domains.",
)
RAW_EVENTS: Final = Family(
    "libvirt_connection_raw_events_total",
    "counter",
    ("connection", "event", "detail"),
    "Total number of events as libvirt sent them, with libvirt's original detail, before the diagnosis.",
)
INVENTORY_CHANGES: Final = Family(
    "libvirt_domain_inventory_changes_total",
    "counter",
    ("connection", "change", "reason"),
    "Total number of domains added (started: transient, defined: persistent) and removed (shutdown: "
    "transient, undefined: persistent).",
)
CONNECTION_UP: Final = Family(
    "libvirt_connection_up",
    "gauge",
    ("connection",),
    "Whether the connection to libvirt is open and its events are received (1 = yes).",
)
RECONNECTS: Final = Family(
    "libvirt_connection_reconnects_total",
    "counter",
    ("connection",),
    "Total number of times the connection to libvirt was reopened after a loss.",
)
UNOBSERVED: Final = Family(
    "libvirt_connection_unobserved_seconds_total",
    "counter",
    ("connection",),
    "Total time in seconds during which events could have been missed.",
)
HOST_REBOOTS: Final = Family(
    "libvirt_connection_host_reboots_total",
    "counter",
    ("connection",),
    "Total number of host reboots found by the exporter (local connections only).",
)
LAST_HOST_REBOOT: Final = Family(
    "libvirt_connection_last_host_reboot_timestamp_seconds",
    "gauge",
    ("connection",),
    "Unix timestamp of when the exporter last found a host reboot; 0 if there was none.",
)
OPERATIONS: Final = Family(
    "libvirt_domain_operation_duration_seconds",
    "histogram",
    ("connection", "operation", "outcome"),
    "Duration of operations, outages and hangs of domains in seconds.",
)
CONNECTION_FAMILIES: Final = (
    CONNECTION_EVENTS,
    RAW_EVENTS,
    INVENTORY_CHANGES,
    CONNECTION_UP,
    RECONNECTS,
    UNOBSERVED,
    HOST_REBOOTS,
    LAST_HOST_REBOOT,
    OPERATIONS,
)

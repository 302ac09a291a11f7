"""Every ``libvirt_*`` metric: name, type, labels, help. This table is the contract; names are API."""

from typing import Final

from libvirt_lifecycle_exporter.metrics.exposition import Family

_DOMAIN = ("connection", "domain")

EVENTS: Final = Family(
    "libvirt_domain_lifecycle_events_total",
    "counter",
    (*_DOMAIN, "event", "reason"),
    "Lifecycle transitions of a domain, by event and reason.",
)
LAST_EVENT: Final = Family(
    "libvirt_domain_last_event_timestamp_seconds",
    "gauge",
    (*_DOMAIN, "event", "reason"),
    "When the newest transition of this kind happened, in seconds since the epoch.",
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
    "Always 1; the current state of the domain and libvirt's reason for it (connection_down: not observed).",
)
STATE_SINCE: Final = Family(
    "libvirt_domain_state_since_timestamp_seconds",
    "gauge",
    _DOMAIN,
    "Unix timestamp of when the domain entered its state, was first seen in it, or stopped being observed.",
)
META: Final = Family(
    "libvirt_domain_meta",
    "gauge",
    (*_DOMAIN, "uuid", "persistent", "autostart", "type", "title"),
    "Always 1; what is known of the domain, to join with.",
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
    "Always 1; what OpenStack Nova says of the domain, to join with.",
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
    "Always 1; OpenNebula's metadata of the domain, to join with.",
)
OVIRT_META: Final = Family(
    "libvirt_domain_ovirt_meta",
    "gauge",
    (*_DOMAIN, "uuid", "cluster_version", "resume_behavior"),
    "Always 1; oVirt's metadata of the domain, to join with.",
)
INCIDENTS: Final = Family(
    "libvirt_domain_incidents_total",
    "counter",
    (*_DOMAIN, "kind"),
    "Incidents of a domain: all that belongs to one cause, from its first evidence until it runs again.",
)
INCIDENT_OPEN: Final = Family(
    "libvirt_domain_incident_open",
    "gauge",
    (*_DOMAIN, "kind"),
    "1 while an incident of the domain is open, else 0.",
)
LAST_INCIDENT: Final = Family(
    "libvirt_domain_last_incident_timestamp_seconds",
    "gauge",
    (*_DOMAIN, "kind"),
    "When the newest incident of this kind began, in seconds since the epoch.",
)
HUNG: Final = Family(
    "libvirt_domain_hung",
    "gauge",
    (*_DOMAIN, "signal"),
    "1 while the domain is hung by this signal, else 0: emulator, watchdog, guest_agent, vcpu (those that "
    "are switched on).",
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
    "Lifecycle transitions of all domains of a connection, by event and reason; outlives the domains.",
)
RAW_EVENTS: Final = Family(
    "libvirt_connection_raw_events_total",
    "counter",
    ("connection", "event", "detail"),
    "What libvirt sent, in its own words and at once, before any diagnosis.",
)
INVENTORY_CHANGES: Final = Family(
    "libvirt_domain_inventory_changes_total",
    "counter",
    ("connection", "change", "reason"),
    "Domains that came to exist (added: started is transient, defined is persistent) or ceased to "
    "(removed: shutdown was transient, undefined was persistent).",
)
CONNECTION_UP: Final = Family(
    "libvirt_connection_up",
    "gauge",
    ("connection",),
    "1 while the connection to libvirt is open and its events arrive, else 0.",
)
RECONNECTS: Final = Family(
    "libvirt_connection_reconnects_total",
    "counter",
    ("connection",),
    "Times the connection to libvirt was opened again after it had been lost.",
)
UNOBSERVED: Final = Family(
    "libvirt_connection_unobserved_seconds_total",
    "counter",
    ("connection",),
    "Time in which events could have been missed: the connection was down, or the exporter was.",
)
HOST_REBOOTS: Final = Family(
    "libvirt_connection_host_reboots_total",
    "counter",
    ("connection",),
    "Total number of reboots of the host that the exporter found; every domain that was running stopped.",
)
LAST_HOST_REBOOT: Final = Family(
    "libvirt_connection_last_host_reboot_timestamp_seconds",
    "gauge",
    ("connection",),
    "Unix timestamp of when the exporter last found that the host had rebooted; 0 if it never did.",
)
OPERATIONS: Final = Family(
    "libvirt_domain_operation_duration_seconds",
    "histogram",
    ("connection", "operation", "outcome"),
    "How long operations and outages of domains took.",
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

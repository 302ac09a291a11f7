"""Which hang probes a connection gets."""

from collections.abc import Callable

from libvirt_lifecycle_exporter.figures import Durations
from libvirt_lifecycle_exporter.inbox import Inbox
from libvirt_lifecycle_exporter.settings import Settings
from libvirt_lifecycle_exporter.sources.agents import AgentProbe
from libvirt_lifecycle_exporter.sources.connection import Connection
from libvirt_lifecycle_exporter.sources.monitors import EmulatorProbe
from libvirt_lifecycle_exporter.sources.opening import Opener
from libvirt_lifecycle_exporter.sources.probes import Post, Probe
from libvirt_lifecycle_exporter.sources.stalls import StallProbe
from libvirt_lifecycle_exporter.threads import ThreadRegistry


def probes(
    uri: str,
    connection: Connection,
    inbox: Inbox,
    durations: Durations,
    *,
    passes: Callable[[str], bool],
    settings: Settings,
    threads: ThreadRegistry,
) -> list[Probe]:
    """Return the probes that are switched on; ``passes``: whether a domain of this name is wanted."""
    opener = Opener(uri)
    post = Post(
        connection.label,
        inbox,
        durations,
        connection.is_up,
        passes,
        opener.open_read_only,
        opener.open_read_write,
        threads,
        (opener.stop, opener.terminate_children),
    )
    found: list[Probe] = []
    if settings.hang_emulator:
        found.append(EmulatorProbe(post, settings.hang_emulator_interval, settings.hang_emulator_threshold))
    if settings.hang_guest_agent:
        found.append(AgentProbe(post, settings.hang_guest_agent_interval, settings.hang_guest_agent_timeout))
    if settings.hang_vcpu:
        found.append(StallProbe(post, settings.hang_vcpu_window))
    return found

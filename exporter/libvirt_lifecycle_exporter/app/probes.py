"""Create the hang probes of a connection from the settings."""

from collections.abc import Callable
from functools import partial

from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.hypervisor.agent_probe import AgentProbe
from libvirt_lifecycle_exporter.hypervisor.connection import Connection
from libvirt_lifecycle_exporter.hypervisor.emulator_probe import EmulatorProbe
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import Opener
from libvirt_lifecycle_exporter.hypervisor.probes import Observer, Probe, ProbeContext
from libvirt_lifecycle_exporter.hypervisor.vcpu_probe import VcpuProbe
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry


def create_probes(
    uri: str,
    connection: Connection,
    message_queue: MessageQueue,
    observer_for: Callable[[str, str], Observer],
    *,
    passes: Callable[[str], bool],
    settings: Settings,
    threads: ThreadRegistry,
) -> list[Probe]:
    """Return the probes that the settings enable.

    ``observer_for``: takes connection and signal; returns the observer of the rounds' durations, in seconds.
    ``passes``: returns whether the domain filter includes a domain of this name.
    """
    opener = Opener(uri)
    context = ProbeContext(
        connection.label,
        message_queue,
        partial(observer_for, connection.label),
        connection.is_up,
        passes,
        opener.open_read_only,
        opener.open_read_write,
        threads,
        (opener.stop, opener.terminate_children),
    )
    found: list[Probe] = []
    if settings.hang_emulator:
        interval, threshold = settings.hang_emulator_interval, settings.hang_emulator_threshold
        found.append(EmulatorProbe(context, interval, threshold))
    if settings.hang_guest_agent:
        interval, timeout = settings.hang_guest_agent_interval, settings.hang_guest_agent_timeout
        found.append(AgentProbe(context, interval, timeout))
    if settings.hang_vcpu:
        found.append(VcpuProbe(context, settings.hang_vcpu_window))
    return found

"""Which hang probes a connection gets."""

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


def probes(
    uri: str,
    connection: Connection,
    message_queue: MessageQueue,
    duration_of: Callable[[str, str], Observer],
    *,
    passes: Callable[[str], bool],
    settings: Settings,
    threads: ThreadRegistry,
) -> list[Probe]:
    """Return the probes that are switched on.

    ``duration_of``: connection, signal: what observes the durations of their rounds, in seconds.
    ``passes``: whether a domain of this name is wanted.
    """
    opener = Opener(uri)
    post = ProbeContext(
        connection.label,
        message_queue,
        partial(duration_of, connection.label),
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
        found.append(VcpuProbe(post, settings.hang_vcpu_window))
    return found

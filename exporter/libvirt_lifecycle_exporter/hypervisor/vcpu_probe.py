"""The probe of virtual CPUs: how long have they run? Asked in a way that does not reach the monitor.

virDomainGetVcpus takes the times from the host's accounting of the emulator's threads (in steps of 10 ms); a
stuck emulator does not hold it up, where the statistics of libvirt's bulk calls would be.
"""

from functools import partial
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.engine.hang_signals import SAMPLES
from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.probes import RUNNING, Probe, ProbeContext, listing, wanted
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

_PATIENCE = 1.0
_LISTING_PATIENCE = 3.0


def ran(uuid: str, connection: Any) -> ProbeAnswer:
    """Ask how long a domain's virtual CPUs have run, all together."""
    cpus, _pinned = connection.lookupByUUIDString(uuid).vcpus()
    return ProbeAnswer(uuid, "answered" if cpus else "absent", cpu_time=sum(time for _, _, time, _ in cpus))


class VcpuProbe(Probe):
    """Looks at all domains, one after the other."""

    signal = "vcpu"

    def __init__(self, post: ProbeContext, window: float) -> None:
        """``window``: seconds of which each is to be looked at a few times."""
        super().__init__(post, window / SAMPLES)
        self._crew = CallPool(f"vcpu-{post.label}", post.read_only, connections=1, threads=post.threads)

    def round(self) -> None:
        listed = self._crew.ask({"": listing(RUNNING)}, wide=1, patience=_LISTING_PATIENCE).get("")
        if listed is None or isinstance(listed, libvirt.libvirtError):
            return
        said = self._crew.ask(
            {uuid: partial(ran, uuid) for uuid in wanted(self.post, listed)}, wide=1, patience=_PATIENCE
        )
        self.tell([answer for answer in said.values() if isinstance(answer, ProbeAnswer)])

    def close(self) -> None:
        self._crew.stop()

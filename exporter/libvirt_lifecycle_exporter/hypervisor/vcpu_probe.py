"""Hang probe of virtual CPUs: the CPU time that they have used. The call does not use the monitor.

virDomainGetVcpus reads the times from the host's accounting of the emulator's threads (in steps of 10 ms). It
returns even if the emulator hangs, unlike libvirt's bulk statistics.
"""

from functools import partial
from typing import Any

from libvirt_lifecycle_exporter.engine.hang_signals import SAMPLES
from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.probes import RUNNING, Probe, ProbeContext, list_probed
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

_CALL_TIMEOUT = 1.0


def read_cpu_time(uuid: str, connection: Any) -> ProbeAnswer:
    """Return the CPU time that all virtual CPUs of a domain have used; raises libvirtError."""
    cpus, _pinned = connection.lookupByUUIDString(uuid).vcpus()
    outcome = "answered" if cpus else "absent"
    return ProbeAnswer(uuid, outcome, cpu_time=sum(time for _, _, time, _ in cpus))


class VcpuProbe(Probe):
    """Reads the CPU times of all running domains, one domain at a time."""

    signal = "vcpu"

    def __init__(self, context: ProbeContext, window: float) -> None:
        """``window``: seconds without CPU time after which a domain is hung; sampled ``SAMPLES`` times."""
        super().__init__(context, window / SAMPLES)
        self._pool = CallPool(
            f"vcpu-{context.label}", context.open_read_only, max_connections=1, threads=context.threads
        )

    def run_round(self) -> None:
        uuids = list_probed(self._pool, RUNNING, self.context) or []
        answers = self._pool.run(
            {uuid: partial(read_cpu_time, uuid) for uuid in uuids}, concurrency=1, timeout=_CALL_TIMEOUT
        )
        self.report([answer for answer in answers.values() if isinstance(answer, ProbeAnswer)])

    def close(self) -> None:
        self._pool.stop()

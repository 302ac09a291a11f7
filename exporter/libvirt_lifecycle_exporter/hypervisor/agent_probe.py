"""Hang probe of guest agents: ``guest-ping`` with a time limit. Requires a read-write connection.

libvirt uses one error code both for an agent that does not answer and for one that is not connected, and
translates the text. The two are distinguished by the duration of the call: only the former takes its time.
"""

import time
from functools import partial
from typing import Any

import libvirt
import libvirt_qemu

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.probes import RUNNING, Probe, ProbeContext, list_probed
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

MAX_CONNECTIONS = 4
"""Each one occupies an ordinary worker of the daemon while an agent does not answer."""
_SYNC_TIMEOUT = 5.0
"""Seconds that libvirt waits for an agent to synchronize after a missed answer."""
_CALL_MARGIN = 2.0
_PING = '{"execute":"guest-ping"}'


def ping(uuid: str, timeout: int, connection: Any) -> ProbeAnswer:
    """Ping the guest agent of a domain; ``timeout`` in seconds.

    Raises libvirtError if libvirt fails for a reason other than the agent.
    """
    domain = connection.lookupByUUIDString(uuid)
    began = time.monotonic()
    try:
        libvirt_qemu.qemuAgentCommand(domain, _PING, timeout, 0)
    except libvirt.libvirtError as error:
        took = time.monotonic() - began
        if (
            error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE
            and took >= min(timeout, _SYNC_TIMEOUT) * 0.9
        ):
            return ProbeAnswer(uuid, "silent", took)
        if error.get_error_code() in (
            libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        ):
            return ProbeAnswer(uuid, "absent")
        raise
    return ProbeAnswer(uuid, "answered")


class AgentProbe(Probe):
    """Pings the guest agents of all running domains."""

    signal = "guest_agent"

    def __init__(self, context: ProbeContext, interval: float, timeout: float) -> None:
        """``interval``: seconds between rounds; ``timeout``: seconds for an agent to answer."""
        super().__init__(context, interval)
        self._timeout = max(1, round(timeout))
        self._ping_pool = CallPool(
            f"agent-{context.label}",
            context.open_read_write,
            max_connections=MAX_CONNECTIONS,
            threads=context.threads,
        )
        self._list_pool = CallPool(
            f"agents-{context.label}", context.open_read_only, max_connections=1, threads=context.threads
        )

    def run_round(self) -> None:
        uuids = list_probed(self._list_pool, RUNNING, self.context) or []
        answers = self._ping_pool.run(
            {uuid: partial(ping, uuid, self._timeout) for uuid in uuids},
            concurrency=MAX_CONNECTIONS,
            timeout=self._timeout + _SYNC_TIMEOUT + _CALL_MARGIN,
        )
        self.report([answer for answer in answers.values() if isinstance(answer, ProbeAnswer)])

    def close(self) -> None:
        self._ping_pool.stop()
        self._list_pool.stop()

"""The probe of guest agents: guest-ping, with a limit. Needs a read-write connection, and has its own.

libvirt has one error for an agent that does not answer and for one that is not there, and words in the
daemon's language; what tells them apart is that the former takes its time.
"""

import time
from functools import partial
from typing import Any

import libvirt
import libvirt_qemu

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.probes import RUNNING, Probe, ProbeContext, listing, wanted
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

CONNECTIONS = 4
"""Each holds one of the daemon's ordinary workers while an agent is silent."""
_LISTING_PATIENCE = 3.0
_SYNC = 5.0
"""Seconds that libvirt itself gives an agent to come into step again, after it has missed an answer."""
_SLACK = 2.0
_PING = '{"execute":"guest-ping"}'


def ping(uuid: str, timeout: int, connection: Any) -> ProbeAnswer:
    """Ask the guest's agent; ``timeout`` in seconds."""
    domain = connection.lookupByUUIDString(uuid)
    began = time.monotonic()
    try:
        libvirt_qemu.qemuAgentCommand(domain, _PING, timeout, 0)
    except libvirt.libvirtError as error:
        took = time.monotonic() - began
        if error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE and took >= min(timeout, _SYNC) * 0.9:
            return ProbeAnswer(uuid, "silent", took)
        if error.get_error_code() in (
            libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        ):
            return ProbeAnswer(uuid, "absent")
        raise
    return ProbeAnswer(uuid, "answered")


class AgentProbe(Probe):
    """Pings all agents, a few at a time."""

    signal = "guest_agent"

    def __init__(self, post: ProbeContext, interval: float, timeout: float) -> None:
        """``timeout``: seconds for an agent to answer."""
        super().__init__(post, interval)
        self._timeout = max(1, round(timeout))
        self._pings = CallPool(
            f"agent-{post.label}", post.read_write, connections=CONNECTIONS, threads=post.threads
        )
        self._lists = CallPool(f"agents-{post.label}", post.read_only, connections=1, threads=post.threads)

    def round(self) -> None:
        listed = self._lists.ask({"": listing(RUNNING)}, wide=1, patience=_LISTING_PATIENCE).get("")
        if listed is None or isinstance(listed, libvirt.libvirtError):
            return
        said = self._pings.ask(
            {uuid: partial(ping, uuid, self._timeout) for uuid in wanted(self.post, listed)},
            wide=CONNECTIONS,
            patience=self._timeout + _SYNC + _SLACK,
        )
        self.tell([answer for answer in said.values() if isinstance(answer, ProbeAnswer)])

    def close(self) -> None:
        self._pings.stop()
        self._lists.stop()

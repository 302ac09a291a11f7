"""The rendered container as a process on this machine.

Volumes are directories of the test: `paths` maps each mount path to one. The process replaces these paths in
its arguments, variables and probes; everything else is as rendered. No container and no root are required;
tests/image covers what a container adds (another root file system, no capabilities).
"""

import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chart.rendering import Manifest, container, of_kind
from tests.lab.page import Page
from tests.lab.process_tree import ProcessTree
from tests.lab.waiting import until

NODE = "node-7"
READY_WITHIN = 30.0
STOPS_WITHIN = 5.0


class ContainerProcess(Page):
    def __init__(
        self,
        manifests: Sequence[Manifest],
        paths: Mapping[str, Path],
        secrets: Mapping[str, Path],
        log: Path,
    ) -> None:
        self.container = container(manifests)
        self._tests = of_kind(manifests, "Pod")
        (port,) = self.container["ports"]
        super().__init__(port["containerPort"])
        self.log = log
        self._paths = paths
        self._secrets = secrets

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run from the startup probe until SIGTERM; the process may not be ready."""
        argv = [
            sys.executable,
            "-m",
            "libvirt_lifecycle_exporter",
            *map(self._map_paths, self.container["args"]),
        ]
        processes = ProcessTree()
        try:
            pid = processes.spawn(argv, env=self.environment(), log=self.log, cwd=self.log.parent)

            def has_started() -> bool:
                if processes.exited(pid):
                    raise RuntimeError(f"the exporter ended:\n{self.log.read_text()}")
                return self.probe("startup")

            until(has_started, READY_WITHIN, f"the startup probe; its log is {self.log}")
            yield
            os.kill(pid, 15)
            assert processes.wait(pid, STOPS_WITHIN) == 0, self.log.read_text()
        finally:
            processes.close()

    def environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LIBVIRT_"))
        }
        variables: dict[str, str] = {}
        for variable in self.container.get("env", ()):
            text = self._value(variable)
            variables[variable["name"]] = re.sub(
                r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), self._map_paths(text)
            )
        return inherited | variables

    def probe(self, kind: str) -> bool:
        """Run a probe as the kubelet does."""
        probe = self.container[f"{kind}Probe"]
        if "exec" in probe:
            program, *arguments = probe["exec"]["command"]
            assert program == "python"
            done = subprocess.run(
                [sys.executable, *map(self._map_paths, arguments)],
                capture_output=True,
                check=False,
                timeout=probe["timeoutSeconds"],
            )
            return done.returncode == 0
        return 200 <= self.kubelet_status(probe["httpGet"]["scheme"].lower(), probe["httpGet"]["path"]) < 400

    def helm_test(self) -> "subprocess.CompletedProcess[str]":
        """Run the test pod as `helm test` does, with 127.0.0.1 instead of the name of the service."""
        (test,) = self._tests
        (client,) = test["spec"]["containers"]
        words: list[str] = client["command"] + client["args"]
        program, *arguments = words
        assert program == "python"
        here = [re.sub(r"://[^:/]+", "://127.0.0.1", self._map_paths(word)) for word in arguments]
        return subprocess.run([sys.executable, *here], capture_output=True, text=True, check=False)

    def kubelet_status(self, scheme: str, path: str) -> int:
        """Return the status that a kubelet gets without certificates and verification; 0: no answer."""
        unverified = ssl._create_unverified_context()  # noqa: S323, SLF001 - as a kubelet
        try:
            with urllib.request.urlopen(
                f"{scheme}://127.0.0.1:{self.port}{path}", timeout=10, context=unverified
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code
        except OSError:
            return 0

    def _value(self, variable: dict[str, Any]) -> str:
        source = variable.get("valueFrom")
        if source is None:
            return str(variable["value"])
        if "fieldRef" in source:
            assert source["fieldRef"] == {"fieldPath": "spec.nodeName"}
            return NODE
        secret = source["secretKeyRef"]
        return (self._secrets[secret["name"]] / str(secret["key"])).read_text()

    def _map_paths(self, text: str) -> str:
        for mount_path in sorted(self._paths, key=len, reverse=True):
            text = text.replace(mount_path, str(self._paths[mount_path]))
        return text


def mount_path(manifests: Sequence[Manifest], name: str) -> str:
    """Return the path where a volume is mounted."""
    (path,) = (mount["mountPath"] for mount in container(manifests)["volumeMounts"] if mount["name"] == name)
    return str(path)

"""Runs the image's files as a container runtime does: the pod of the chart in namespaces of this machine.

With the root file system of the image (read-only if the pod requires it), and user, groups, capabilities,
mounts and variables of the rendered chart. Not included: seccomp filter, cgroup limits, a separate network.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chart.rendering import Manifest, container, pod
from tests.lab.daemon import search_path
from tests.lab.page import Page
from tests.lab.process_tree import ProcessTree

NODE = "node-7"
ENTER = """
set -e
root=$1; writable=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"
done
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$root$2"; fi
  shift 3
done
shift
if [ "$writable" = no ]; then mount -o remount,bind,ro "$root"; fi
exec chroot "$root" "$@"
"""
STOPS_WITHIN = 10.0
ENVIRONMENT = {"PATH": search_path()}


class Image:
    """The files and the configuration of the image."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        inspected = json.loads((folder / "image.json").read_text())
        self.config: dict[str, Any] = inspected["Docker"]["config"]
        self.architecture = str(inspected["Docker"]["architecture"])
        sizes = (line.split(" ", 1) for line in (folder / "sizes").read_text().splitlines())
        self.sizes = {name.rpartition("/")[2]: size for name, size in sizes}


class PodProcess(Page):
    """One pod on one node. `node_paths`: hostPath -> folder; `secrets`: name -> folder."""

    def __init__(
        self,
        image: Image,
        manifests: Sequence[Manifest],
        folder: Path,
        *,
        node_paths: Mapping[str, Path],
        secrets: Mapping[str, Path] | None = None,
    ) -> None:
        self.spec = pod(manifests)
        self.container = container(manifests)
        super().__init__(self.container["ports"][0]["containerPort"])
        self.image = image
        self.folder = folder
        self.log = folder / "container.log"
        self.pid = 0
        self._node_paths = node_paths
        self._secrets = secrets or {}
        self._processes = ProcessTree()
        (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        self._volumes = {volume["name"]: self._volume(volume) for volume in self.spec["volumes"]}

    def __enter__(self) -> Self:
        try:
            for init in self.spec.get("initContainers", ()):
                self.run(init, [*init["command"], *init["args"]])
            outer = self._processes.spawn(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", *self._enter(self.container, None)],
                env=ENVIRONMENT,
                log=self.log,
                cwd=Path("/"),
            )
            self.wait_until(lambda: self._has_started(outer), 30, "its start")
            self.pid = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
            self._outer = outer
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.kill(self.pid, signal.SIGTERM)
            status = self._processes.wait(self._outer, STOPS_WITHIN)
        finally:
            self._processes.close()
        if error is None and status != 0:
            raise RuntimeError(f"the pod ended with {status}:\n{self.log.read_text()}")

    def status_lines(self) -> dict[str, str]:
        """Return /proc/PID/status of the exporter."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}

    def execute(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command in the pod, as `kubectl exec` does."""
        return self._run(self.container, command)

    def run(self, one: dict[str, Any], command: Sequence[str]) -> None:
        done = self._run(one, command)
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def probe(self, kind: str) -> bool:
        probe_spec = self.container[f"{kind}Probe"]
        if "exec" in probe_spec:
            return self.execute(probe_spec["exec"]["command"]).returncode == 0
        assert probe_spec["httpGet"]["scheme"] == "HTTP"
        return self.status(probe_spec["httpGet"]["path"]) == 200

    def _has_started(self, outer: int) -> bool:
        if self._processes.exited(outer):
            raise RuntimeError(f"the pod has ended:\n{self.log.read_text()}")
        return self.probe("startup")

    def _run(self, one: dict[str, Any], command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *self._enter(one, command)],
            env=ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def _enter(self, one: dict[str, Any], command: Sequence[str] | None) -> list[str]:
        binds = [str(self.folder / "hosts"), "/etc/hosts", "ro"]
        for mount in one["volumeMounts"]:
            mode = "ro" if mount.get("readOnly") else "rw"
            binds += [str(self._volumes[mount["name"]]), mount["mountPath"], mode]
        writable = "no" if one["securityContext"]["readOnlyRootFilesystem"] else "yes"
        argv = command or [*self.image.config["Entrypoint"], *one["args"]]
        inside = [*self._environment(one), *self._become(one), *argv]
        return ["sh", "-c", ENTER, "sh", str(self.image.root), writable, *binds, "--", *inside]

    def _become(self, one: dict[str, Any]) -> list[str]:
        context = {**self.spec["securityContext"], **one["securityContext"]}
        groups = [context["fsGroup"], *context["supplementalGroups"]]
        kept = "".join(f",+{name.lower()}" for name in context["capabilities"].get("add", ()))
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["allowPrivilegeEscalation"] is False
        return [
            *("setpriv", f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"),
            f"--groups={','.join(map(str, groups))}",
            *(f"--bounding-set=-all{kept}", f"--inh-caps=-all{kept}", "--no-new-privs"),
        ]

    def _environment(self, one: dict[str, Any]) -> list[str]:
        variables = [f"{variable['name']}={variable.get('value', NODE)}" for variable in one.get("env", ())]
        return ["env", "--ignore-environment", *self.image.config["Env"], *variables]

    def _volume(self, volume: dict[str, Any]) -> Path:
        if "hostPath" in volume:
            return self._node_paths[str(volume["hostPath"]["path"])]
        group = self.spec["securityContext"]["fsGroup"]
        if "secret" in volume:
            folder = self._secrets[str(volume["secret"]["secretName"])]
            for file in folder.iterdir():
                os.chown(file, 0, group)
                file.chmod(volume["secret"]["defaultMode"])
            folder.chmod(0o755)
            return folder
        folder = self.folder / str(volume["name"])
        folder.mkdir(exist_ok=True)
        os.chown(folder, 0, group)
        folder.chmod(0o2775)
        return folder

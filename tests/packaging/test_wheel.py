"""Content of the wheel, and that the installed package works without the source tree and without extras."""

import email
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from libvirt_lifecycle_exporter import __version__
from tests.lab.collector import Collector
from tests.lab.waiting import until
from tests.otel.receiver_stub import ReceiverStub
from tests.packaging.conftest import ROOT, build
from tests.packaging.installation import COMMAND, INSTALL_PREFIX, Installation, run_exporter
from tests.packaging.pins import normalize, pins

NAME = f"libvirt_lifecycle_exporter-{__version__}"


def test_wheel_holds_one_package_and_the_systemd_files(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions[".whl"]) as wheel:
        names = wheel.namelist()
        metadata = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
    assert {name.split("/")[0] for name in names} == {
        "libvirt_lifecycle_exporter",
        f"{NAME}.dist-info",
        f"{NAME}.data",
    }
    assert [name for name in names if name.startswith(f"{NAME}.data")] == [
        f"{NAME}.data/data/lib/sysusers.d/libvirt-lifecycle-exporter.conf",
        f"{NAME}.data/data/lib/systemd/system/libvirt-lifecycle-exporter.service",
    ]
    assert "libvirt_lifecycle_exporter/py.typed" in names
    assert metadata["Version"] == __version__
    assert metadata.get_all("Provides-Extra") == ["grpc"]


def test_sdist_builds_the_same_wheel(distributions: dict[str, Path], tmp_path: Path) -> None:
    # tar instead of tarfile: newer Python versions warn without a filter, and Debian 12's has no filters.
    subprocess.run(["tar", "-xzf", distributions[".gz"], "-C", tmp_path], check=True)
    (wheel,) = build(tmp_path / NAME, tmp_path / "again", "wheel")
    assert wheel.name == distributions[".whl"].name
    assert wheel.read_bytes() == distributions[".whl"].read_bytes()


def test_sdist_has_files_of_the_image_and_linked_pages(
    distributions: dict[str, Path],
) -> None:
    listed = subprocess.run(["tar", "-tzf", distributions[".gz"]], capture_output=True, text=True, check=True)
    paths = {name.partition("/")[2] for name in listed.stdout.split()}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    required = {Path(word.removeprefix("./")) for words in copied for word in words.split()}
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
        required |= {Path(page), Path("Makefile"), Path(".ci/run"), *map(Path, links)}
    assert len(required) > 10
    for path in required:
        found = [name for name in paths if Path(name).is_relative_to(path) or Path(name).match(str(path))]
        assert found, path


def test_twine_accepts_the_distributions(distributions: dict[str, Path]) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions.values()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked


def test_pip_finds_no_broken_requirements(installed: Installation) -> None:
    assert "No broken requirements" in installed.run(INSTALL_PREFIX / "bin/python", "-m", "pip", "check")


def test_installed_packages_are_the_locked_ones(installed: Installation) -> None:
    found = json.loads(
        installed.run(
            INSTALL_PREFIX / "bin/python",
            "-m",
            "pip",
            "list",
            "--format",
            "json",
            PIP_DISABLE_PIP_VERSION_CHECK="1",
        )
    )
    here = {normalize(one["name"]): one["version"] for one in found}
    constrained, locked = pins("constraints.txt"), pins("requirements-hashed.txt")
    assert locked.items() <= constrained.items()
    own = {"pip", "setuptools", "libvirt-lifecycle-exporter"}
    assert {name: version for name, version in here.items() if name not in own} == locked
    assert pins("requirements-hashed-grpc.txt").items() <= constrained.items()
    assert set(pins("requirements-hashed-grpc.txt")) == {"googleapis-common-protos", "grpcio"}


def test_locked_requirements_have_hashes_and_no_registry() -> None:
    for file in ("requirements-hashed.txt", "requirements-hashed-grpc.txt"):
        text = (ROOT / file).read_text()
        for entry in re.split(r"\n(?=\S)", text)[1:]:
            assert re.fullmatch(r"[a-z0-9-]+==[^ ]+( \\\n {4}--hash=sha256:[0-9a-f]{64})+\n?", entry), entry
        assert "://" not in text


def test_installed_demo_runs(installed: Installation) -> None:
    with run_exporter(installed, "demo", "--pace", "10ms") as (page, process):
        crashed = {"domain": "edge-3", "event": "stopped", "reason": "crashed"}
        page.wait_until(lambda: (page.value("libvirt_domain_lifecycle_events_total", **crashed) or 0) >= 1)
        built = page.metrics()["libvirt_lifecycle_exporter_build_info"].samples[0].labels
        assert built["version"] == __version__
    assert process.returncode == 0
    assert __version__ in installed.run(COMMAND, "--version")


def test_console_export_works_without_the_extra(installed: Installation) -> None:
    console = {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}
    with run_exporter(installed, "demo", "--pace", "10ms", **console) as (_, process):
        assert process.stdout is not None
        names = set()
        for line in process.stdout:
            if line.startswith("{"):
                names.add(json.loads(line).get("name") or json.loads(line).get("event_name"))
            if {"start domain", "libvirt.domain.started"} <= names:
                break


def test_otlp_http_works_without_the_extra(installed: Installation) -> None:
    with (
        ReceiverStub() as stub,
        run_exporter(installed, "demo", "--pace", "10ms", OTEL_EXPORTER_OTLP_ENDPOINT=stub.url),
    ):
        until(lambda: stub.accepted("traces") and stub.accepted("logs"), 30, "spans and log records")


def test_grpc_without_the_extra_is_refused_in_one_line(installed: Installation) -> None:
    grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    output = installed.run(COMMAND, "demo", code=2, **grpc)
    assert output.count("\n") == 1
    assert "libvirt-lifecycle-exporter[grpc]" in output


def test_otlp_grpc_works_with_the_extra(installed_with_grpc: Installation, tmp_path: Path) -> None:
    """The packages of the extra are sufficient; the test environment has more."""
    assert "No broken requirements" in installed_with_grpc.run(
        INSTALL_PREFIX / "bin/python", "-m", "pip", "check"
    )
    with (
        Collector(tmp_path) as collector,
        run_exporter(installed_with_grpc, "demo", "--pace", "10ms", **collector.environment(grpc=True)),
    ):
        until(lambda: collector.spans() and collector.records(), 30, "spans and log records")

"""Every transition the test driver can make: counted exactly as an independent recorder saw it."""

from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.page import Page
from tests.testdriver.conftest import Listening
from tests.testdriver.scenes import SCENES, Scene, xml

BY_NAME = pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])


@BY_NAME
def test_in_process_driver_events_are_counted(
    scene: Scene, connection: Any, local_recorder: Listening, page: Page, tmp_path: Path
) -> None:
    scene.play(connection, scene.name, tmp_path)
    marker = connection.defineXML(xml("marker"))
    marker.undefine()
    page.wait_until(lambda: page.lifecycle_counts("marker")["undefined", "removed"] == 1)
    for name in (scene.name, f"{scene.name}-new"):
        assert page.lifecycle_counts(name) == local_recorder.pairs(name)
    assert local_recorder.pairs(scene.name)[scene.sends]


@BY_NAME
def test_daemon_events_are_counted(
    scene: Scene,
    session_daemon: Daemon,
    driver_recorder: EventRecorder,
    driver_exporter: Exporter,
    open_folder: Path,
) -> None:
    connection = libvirt.open(session_daemon.test_uri)
    try:
        scene.play(connection, scene.name, open_folder)
    finally:
        connection.close()
    marker = driver_recorder.settle()
    driver_exporter.wait_until(lambda: driver_exporter.lifecycle_counts(marker)["undefined", "removed"] == 1)
    for name in (scene.name, f"{scene.name}-new"):
        assert driver_exporter.lifecycle_counts(name) == driver_recorder.pairs(name)
    assert driver_recorder.pairs(scene.name)[scene.sends]

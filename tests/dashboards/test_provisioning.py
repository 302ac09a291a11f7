"""The provisioning files match the README, and exemplars link to Tempo."""

from typing import Any

import yaml

from tests.dashboards.dashboard_files import FOLDER, classic, variables

PROVISIONING = FOLDER / "provisioning"


def read(path: str) -> Any:
    return yaml.safe_load((PROVISIONING / path).read_text())


def test_provider_reads_the_directory_of_the_readme() -> None:
    found = read("dashboards/libvirt.yaml")
    (provider,) = found["providers"]
    assert (found["apiVersion"], provider["type"], provider["allowUiUpdates"]) == (1, "file", False)
    readme = (FOLDER / "README.md").read_text()
    assert f"{provider['options']['path']}/$file:ro" in readme
    assert "/provisioning:/etc/grafana/provisioning:ro" in readme


def test_data_sources_match_those_of_the_dashboards() -> None:
    found = {source["type"]: source for source in read("datasources/libvirt.yaml")["datasources"]}
    expected = [
        one["query"] for one in variables(classic("libvirt-domain")).values() if one["type"] == "datasource"
    ]
    assert list(found) == expected
    (exemplar,) = found["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar == {"name": "trace_id", "datasourceUid": found["tempo"]["uid"]}
    for source in found.values():
        variable = source["url"].removeprefix("$")
        assert f"-e {variable}=" in (FOLDER / "README.md").read_text()

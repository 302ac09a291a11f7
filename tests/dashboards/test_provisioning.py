"""What Grafana is mounted with: the provider's folder is the one of the README, exemplars lead to Tempo."""

from typing import Any

import yaml

from tests.dashboards.reading import FOLDER, classic, variables

PROVISIONING = FOLDER / "provisioning"


def read(path: str) -> Any:
    return yaml.safe_load((PROVISIONING / path).read_text())


def test_the_provider_takes_files_from_the_folder_that_the_readme_names() -> None:
    found = read("dashboards/libvirt.yaml")
    (provider,) = found["providers"]
    assert (found["apiVersion"], provider["type"], provider["allowUiUpdates"]) == (1, "file", False)
    readme = (FOLDER / "README.md").read_text()
    assert f"{provider['options']['path']}/$file:ro" in readme
    assert "/provisioning:/etc/grafana/provisioning:ro" in readme


def test_the_data_sources_are_of_the_kinds_that_the_dashboards_ask_for() -> None:
    found = {source["type"]: source for source in read("datasources/libvirt.yaml")["datasources"]}
    asked = [
        one["query"] for one in variables(classic("libvirt-domain")).values() if one["type"] == "datasource"
    ]
    assert list(found) == asked
    (exemplar,) = found["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar == {"name": "trace_id", "datasourceUid": found["tempo"]["uid"]}
    for source in found.values():
        variable = source["url"].removeprefix("$")
        assert f"-e {variable}=" in (FOLDER / "README.md").read_text()

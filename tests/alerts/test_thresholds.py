"""Custom thresholds: valid ones produce valid rules, invalid ones are refused with a clear error."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts.generator.__main__ import README, RULES, main
from alerts.generator.exporters import EXPORTERS
from alerts.generator.rules import ALERTS, groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from tests.alerts.rule_tools import error_output

OWN = """
[links]
grafana = "https://g.example/"
[LibvirtDomainOutage]
after = "1h30m"
[LibvirtDomainFlapping]
severity = "off"
"""


def test_custom_thresholds_override_only_what_they_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    assert main([str(tmp_path / "own.toml")]) == 0
    rules = capsys.readouterr().out
    assert "> 5400" in rules
    assert "https://g.example/d/libvirt-domain?" in rules
    assert "LibvirtDomainFlapping" not in rules
    assert rules.count("- alert:") == len(ALERTS) - 1
    (tmp_path / "own.yaml").write_text(rules)
    assert (
        error_output(["promtool", "check", "rules", "--lint=all", "--lint-fatal", tmp_path / "own.yaml"])
        == ""
    )


ACCEPTED = {
    "with labels of one's own": "[scope]\nfleet = ['cluster', 'job']",
    "another job": "[scope]\njob = 'node\"s.\\\\d+|libvirt'",
    "nothing goes on": "[scope]\nkeep = '0s'",
    "in no hurry": "[scope]\nunhurried = '1h30m'",
    "at once": "[LibvirtExporterDown]\nfor = '0s'",
    "as little as can be": "[LibvirtDomainCrashLooping]\ncrashes = 1\nwithin = '1ms'",
    "as long as can be": "[LibvirtDomainExcessiveMigrations]\nwithin = '1y2w3d4h5m6s7ms'",
    "any ratio": "[LibvirtFleetCrashRateHigh]\nratio = 0",
    "links with words": '[links]\nrunbooks = "https://wiki.example/it\'s here/{{ $labels.job }}"',
    "none of the exporter": "\n".join(f"[{one.name}]\nseverity = 'off'" for one in EXPORTERS),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_thresholds_produce_valid_rules(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    (tmp_path / "own.yaml").write_text(document(groups(load(tmp_path / "own.toml"))))
    assert (
        error_output(["promtool", "check", "rules", "--lint=all", "--lint-fatal", tmp_path / "own.yaml"])
        == ""
    )


def test_fleet_alert_names_the_fleet_labels(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(ACCEPTED["with labels of one's own"])
    fleet_rule = groups(load(tmp_path / "own.toml"))[0]["rules"][-1]
    assert fleet_rule["alert"] == "LibvirtFleetCrashRateHigh"
    assert "of {{ $labels.cluster }} {{ $labels.job }} crashed" in fleet_rule["annotations"]["summary"]


def test_documented_vmrule_command_works(tmp_path: Path) -> None:
    """The rule uses VictoriaMetrics' functions where the names of Prometheus have another meaning there."""
    (tmp_path / "mine.toml").write_text("[scope]\ndialect = 'metricsql'\n")
    (command,) = re.findall(
        r"^\$ (\{ printf.*?> vmrule\.yaml)$", README.read_text(), re.DOTALL | re.MULTILINE
    )
    environment = {**os.environ, "PYTHONPATH": str(README.parents[1])}
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=environment, check=True)
    result = yaml.safe_load((tmp_path / "vmrule.yaml").read_text())
    assert (result["apiVersion"], result["kind"]) == ("operator.victoriametrics.com/v1beta1", "VMRule")
    shipped = yaml.safe_load(RULES.read_text())["groups"]
    for group, converted_group in zip(shipped, result["spec"]["groups"], strict=True):
        for rule, other in zip(group["rules"], converted_group["rules"], strict=True):
            assert other["expr"] == re.sub(r"\b(changes|increase)\(", r"\1_prometheus(", rule["expr"])
            assert {**other, "expr": ""} == {**rule, "expr": ""}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[LibvirtDomainOutrage]\nafter = '5m'", "There is no alert or table named LibvirtDomainOutrage."),
        ("[LibvirtDomainOutage]\nbefore = '5m'", "LibvirtDomainOutage has no before."),
        ("[LibvirtDomainOutage]\nafter = 'soon'", "is to be a duration such as 90s or 15m, not 'soon'."),
        ("[LibvirtDomainOutage]\nafter = 5", "LibvirtDomainOutage: after is to be like '5m', not 5."),
        (
            "[LibvirtDomainFlapping]\nstarts = true",
            "LibvirtDomainFlapping: starts is to be like 5, not True.",
        ),
        ("[LibvirtDomainFlapping]\nstarts = 2.5", "LibvirtDomainFlapping: starts is to be like 5, not 2.5."),
        ("[LibvirtDomainFlapping]\nstarts = 0", "LibvirtDomainFlapping: starts is to be 1 or more, not 0."),
        ("[LibvirtFleetCrashRateHigh]\nratio = -0.1", "ratio is to be 0 or more, not -0.1."),
        ("[LibvirtFleetCrashRateHigh]\nratio = nan", "ratio is to be 0 or more, not nan."),
        ("[LibvirtFleetCrashRateHigh]\nratio = inf", "ratio is to be 0 or more, not inf."),
        (
            "[LibvirtDomainFlapping]\nwithin = '30m1h'",
            "is to be a duration such as 90s or 15m, not '30m1h'.",
        ),
        ("[LibvirtDomainFlapping]\nwithin = '0s'", "LibvirtDomainFlapping: within is to be longer than 0s."),
        ("[scope]\nunhurried = '0m'", "scope: unhurried is to be longer than 0m."),
        ("[scope]\nfleet = []", "scope: fleet is to be a list of labels such as ['job'], not []."),
        ("[scope]\nfleet = [1]", "scope: fleet is to be a list of labels such as ['job'], not [1]."),
        ("[scope]\nfleet = ['data-centre']", "such as ['job'], not ['data-centre']."),
        ("[scope]\njob = '(node'", "scope: job is to be a regular expression, not '(node'"),
        ("[LibvirtDomainOutage]\nseverity = 'dire'", "severity is one of critical, warning, info, off"),
        ("[LibvirtDomainOutage", "Expected ']'"),
    ],
)
def test_invalid_thresholds_are_refused_in_one_line(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_text(text)
    assert main([str(tmp_path / "own.toml")]) == 2
    assert sentence in capsys.readouterr().err

"""User-visible text contains no phrase of the list below.

The list holds metaphors and idioms that readers had to guess. It is short on purpose: a phrase belongs here
only if it is unclear in every context.
"""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from docs.generate_metrics import metrics
from libvirt_lifecycle_exporter.cli.main import command

ROOT = Path(__file__).parents[2]
UNCLEAR = (
    r"anew",
    r"asks? nothing",
    r"blind times?",
    r"came and went",
    r"(?:comes?|came|taken) into view",
    r"courier",
    r"farewell",
    r"for ever",
    r"for want of",
    r"gives? (?:it|them) up",
    r"goes on",
    r"hand(?:s|ed)? on",
    r"(?:has|have) to leave",
    r"hear[sd]? (?:nothing|everything|of|from)",
    r"in (?:its|libvirt's|QEMU's|the kernel's) own words",
    r"in peace",
    r"in words",
    r"is well",
    r"(?:is|are|was|were|be) believed",
    r"(?:is|are|was|were|be|being) (?:let in|told)",
    r"last words?",
    r"left behind",
    r"lets? go",
    r"loses? (?:its|their) place",
    r"(?:never|not) give up",
    r"no words?",
    r"nobody",
    r"not well",
    r"one's own",
    r"out of view",
    r"parcel",
    r"puts? (?:a )?questions? to",
    r"raw words?",
    r"(?:set|put) aside",
    r"somebody",
    r"stands? still",
    r"taken for",
    r"tells? (?:of|nothing)",
    r"that while",
    r"the crew",
    r"thought better",
    r"turned away",
    r"under way",
    r"well again",
    r"who may",
    r"whoever",
    r"wholly",
    r"worth a (?:question|thought)",
    r"would rather",
)
PATTERN = re.compile(rf"\b(?:{'|'.join(UNCLEAR)})\b", re.IGNORECASE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
COMMANDS = ((), ("check",), ("demo",), ("events",), ("incidents",))


def pages() -> list[Path]:
    patterns = (
        "*.md",
        "docs/*.md",
        "alerts/*.md",
        "alerts/runbooks/*.md",
        "alerts/*.toml",
        "alerts/*.yaml",
        "dashboards/*.md",
        "helm/*.md",
        "helm/*/*.md",
        "helm/*/values.yaml",
        "helm/*/templates/NOTES.txt",
    )
    return [page for pattern in patterns for page in sorted(ROOT.glob(pattern))]


def find_unclear_phrases(text: str) -> list[str]:
    """Return every unclear phrase with its context; code is ignored."""
    prose = CODE.sub("`code`", text)
    flat = " ".join(prose.split())
    return [flat[max(0, found.start() - 40) : found.end() + 40] for found in PATTERN.finditer(flat)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_no_unclear_phrase(page: Path) -> None:
    assert find_unclear_phrases(page.read_text()) == []


def test_alert_annotations_have_no_unclear_phrase() -> None:
    rules = yaml.safe_load((ROOT / "alerts/libvirt-lifecycle.rules.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    found = {
        alert["alert"]: find_unclear_phrases(
            f"{alert['annotations']['summary']} {alert['annotations']['description']}"
        )
        for alert in alerts
    }
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


def test_help_texts_of_metrics_have_no_unclear_phrase() -> None:
    assert [metric.name for metric in metrics() if find_unclear_phrases(metric.help)] == []


def test_dashboards_have_no_unclear_phrase() -> None:
    for page in sorted(ROOT.glob("dashboards/*.json")):
        texts = re.findall(r'"(?:title|description)": "((?:[^"\\]|\\.)*)"', page.read_text())
        assert texts
        assert [phrase for text in texts for phrase in find_unclear_phrases(text)] == [], page.name


@pytest.mark.parametrize("words", COMMANDS, ids=lambda one: " ".join(one) or "all")
def test_command_line_help_has_no_unclear_phrase(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(command, [*words, "--help"])
    assert shown.exit_code == 0
    assert find_unclear_phrases(shown.output) == []


def test_unclear_phrases_are_found() -> None:
    assert find_unclear_phrases("the journal is well again") != []
    assert find_unclear_phrases("journal recovered") == []

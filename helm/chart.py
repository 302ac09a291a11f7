"""Generates the parts of the chart that are defined elsewhere: `make chart`.

* versions of the chart and of the image: the version of the package
* files/: copies of the alert rules and dashboards, because a chart cannot use files outside of its folder
* values.schema.json: Kubernetes' definitions of the values that are passed on, made strict; names of alerts
* README.md: README.in.md with a table of the values, from the comments in values.yaml

    python -m helm.chart [--check]

With --check nothing is written, and the exit code is 1 if something would change.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from helm.readme import readme

ROOT = Path(__file__).parents[1]
CHART = Path("helm/libvirt-lifecycle-exporter")
KUBERNETES = "v1.37.0"
COPIED = {"alerts": "*.rules.yaml", "dashboards": "*.json"}

_PREFIX = "#/definitions/io.k8s."


def version(root: Path = ROOT) -> str:
    """Return the version of the package."""
    text = (root / "exporter/libvirt_lifecycle_exporter/__init__.py").read_text()
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def produced(root: Path = ROOT) -> dict[Path, bytes]:
    """Return all generated files and their contents."""
    chart, dockerfile = root / CHART, root / "Dockerfile"
    now = version(root)
    texts = {
        chart / "Chart.yaml": _replaced(chart / "Chart.yaml", {"version: ": now, "appVersion: ": f'"{now}"'}),
        dockerfile: _replaced(dockerfile, {"ARG VERSION=": now}),
        chart / "values.schema.json": _schema(chart, _alerts(root)),
        chart / "README.md": readme(chart),
    }
    copies = {
        chart / "files" / folder / path.name: path.read_bytes()
        for folder, pattern in COPIED.items()
        for path in sorted((root / folder).glob(pattern))
    }
    return {path: text.encode() for path, text in texts.items()} | copies


def stale(root: Path = ROOT) -> list[Path]:
    """Return the generated files that are out of date, and copies of files that no longer exist."""
    wanted = produced(root)
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_bytes() != text]
    copies = sorted(path for path in (root / CHART / "files").rglob("*") if path.is_file())
    return changed + [path for path in copies if path not in wanted]


def _replaced(path: Path, values: dict[str, str]) -> str:
    """Return the text of a file with new values. ``values``: beginning of a line -> the rest of it."""
    text = path.read_text()
    for begin, value in values.items():
        text = re.sub(f"^{begin}.*$", f"{begin}{value}", text, flags=re.MULTILINE)
    return text


def _alerts(root: Path) -> list[str]:
    rules = (path.read_text() for path in sorted((root / "alerts").glob(COPIED["alerts"])))
    return [name for text in rules for name in re.findall(r"^ *- alert: (\w+)$", text, re.MULTILINE)]


def _schema(chart: Path, alerts: list[str]) -> str:
    schema = json.loads((chart / "values.schema.json").read_text())
    _require(schema, yaml.safe_load((chart / "values.yaml").read_text()))
    definitions = schema.pop("definitions").items()
    ours = {name: what for name, what in definitions if not name.startswith("io.k8s.")}
    ours["alert"] = {"type": "string", "enum": alerts}
    schema["definitions"] = ours  # the last key: Kubernetes' definitions are appended to it
    theirs = sorted(_kubernetes(schema, KUBERNETES).items())
    # One line each: they are not meant to be read here.
    lines = "".join(f',\n    "{name}": {json.dumps(definition)}' for name, definition in theirs)
    return json.dumps(schema, indent=2).removesuffix("\n  }\n}") + lines + "\n  }\n}\n"


def _require(schema: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Make every value with a default required: templates rely on it, so it must not be null."""
    if "properties" not in schema:
        return
    schema["required"] = [key for key, value in defaults.items() if value not in ("", {}, [])]
    for key, value in defaults.items():
        if isinstance(value, dict):
            _require(schema["properties"][key], value)


def bundled(release: str) -> Path:
    """Return the folder with the schemas of a Kubernetes release."""
    return Path(kubernetes_validate.__file__).parent / f"kubernetes-json-schema/{release}-local-strict"


def with_definitions(schema: Any, release: str) -> dict[str, Any]:
    """Return one of Kubernetes' schemas with the definitions that it refers to, which are in another file."""
    alone: dict[str, Any] = _bare(schema)
    return {**alone, "definitions": _kubernetes(alone, release)}


def _kubernetes(schema: Any, release: str) -> dict[str, Any]:
    """Return the Kubernetes definitions that a schema refers to, directly or indirectly."""
    known = json.loads((bundled(release) / "_definitions.json").read_text())["$defs"]
    found: dict[str, Any] = {}
    wanted = list(_references(schema))
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _bare(known[name])
            wanted += _references(found[name])
    return found


def _references(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        reference = thing.get("$ref")
        if isinstance(reference, str) and reference.startswith(_PREFIX):
            yield reference.removeprefix("#/definitions/")
        thing = list(thing.values())
    if isinstance(thing, list):
        for part in thing:
            yield from _references(part)


def _bare(thing: Any) -> Any:
    """Return a schema without descriptions and formats, with references as in draft 7, and no other keys."""
    if isinstance(thing, list):
        return [_bare(part) for part in thing]
    if not isinstance(thing, dict):
        return thing
    bare = {
        key: "#/definitions/" + part.rpartition("/")[2] if key == "$ref" else _bare(part)
        for key, part in thing.items()
        if not (key in ("description", "format") and isinstance(part, str)) and not key.startswith("x-")
    }
    if bare.get("type") in ("object", ["object", "null"]):
        bare.setdefault("additionalProperties", False)
    return bare


def main() -> int:
    """Write the files, or check them; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    changed = stale()
    if parser.parse_args().check:
        for path in changed:
            print(f"{path.relative_to(ROOT)} is out of date; run: make chart", file=sys.stderr)
        return 1 if changed else 0
    contents = produced()
    for path in changed:
        if path in contents:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[path])
        else:
            path.unlink()
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""YAML without types: every scalar is a string, and repeated keys are refused."""

from typing import Any

import yaml

from libvirt_lifecycle_exporter.web.config_values import WebConfigError, quote


def load(text: str) -> object:
    """Return mappings, lists and strings; the parser of a key knows its type. Raises ``WebConfigError``."""
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a safe loader that returns only strings
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise WebConfigError(f"invalid YAML{where}: {' '.join(str(error.problem).split())}") from None
    except (yaml.YAMLError, RecursionError):
        raise WebConfigError(
            "invalid YAML: a character that YAML does not allow, or too many nested brackets"
        ) from None


def _yaml_error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


class _StrictLoader(yaml.BaseLoader):
    """Returns every scalar as a string (the parser of the key knows its type); refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _yaml_error("a key is not a scalar", key)
            if key.value in seen:
                raise _yaml_error(f"duplicate key {quote(key.value)}", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

"""What the domain XML says beyond events: type, title, OpenStack Nova's metadata.

Law: the XML is half written by users; it is parsed without entities, DTDs or external references,
and what is odd in it is left out.
"""

import logging
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from libvirt_lifecycle_exporter.text import clean
from libvirt_lifecycle_exporter.transition import DomainDetails, Nova

log = logging.getLogger(__name__)

_XML_LIMIT = 4 * 1024 * 1024
"""Characters; libvirt's own limit for one message is 32 MiB, a domain's XML is some 10 KiB."""

_NOVA = "{http://openstack.org/xmlns/libvirt/nova/1."
"""Nova writes version 1.0 or 1.1 of its namespace; the elements read here are the same in both."""


def details(xml: str) -> DomainDetails | None:
    """Read a domain's XML; None (and a log line) where it cannot be read safely."""
    if len(xml) > _XML_LIMIT:
        log.warning("a domain's XML was not read: its %d characters are too many", len(xml))
        return None
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        log.warning("a domain's XML was not read: %s", error)
        return None
    return DomainDetails(
        type=clean(root.get("type", "")),
        title=clean(_text(root.find("title"))),
        nova=_nova(root.find("metadata")),
    )


def _nova(metadata: Element | None) -> Nova | None:
    instance = _child(metadata, "instance")
    if instance is None:
        return None
    flavor = _child(instance, "flavor")
    owner = _child(instance, "owner")
    project, user = _child(owner, "project"), _child(owner, "user")
    return Nova(
        instance_name=clean(_text(_child(instance, "name"))),
        flavor=clean(_attribute(flavor, "name")),
        project_name=clean(_text(project)),
        project_id=clean(_attribute(project, "uuid")),
        user_name=clean(_text(user)),
        user_id=clean(_attribute(user, "uuid")),
    )


def _child(parent: Element | None, name: str) -> Element | None:
    if parent is None:
        return None
    return next((child for child in parent if _is_nova(child.tag, name)), None)


def _is_nova(tag: str, name: str) -> bool:
    return tag.startswith(_NOVA) and tag.partition("}")[2] == name


def _text(element: Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")

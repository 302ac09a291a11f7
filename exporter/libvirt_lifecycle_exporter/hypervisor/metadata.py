"""Parse the domain XML: type, title, and the metadata of OpenStack Nova, OpenNebula and oVirt.

Parts of the XML come from users. So it is parsed without entities, DTDs and external references, and invalid
values are ignored.
"""

import logging
import re
from re import Pattern
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt
from libvirt_lifecycle_exporter.model.text import clean

log = logging.getLogger(__name__)

_XML_LIMIT = 4 * 1024 * 1024
"""Characters. libvirt's limit for one message is 32 MiB; the XML of a domain has about 10 KiB."""

_NOVA: Final = re.compile(r"http://openstack\.org/xmlns/libvirt/nova/1\..*")
"""Nova writes version 1.0 or 1.1 of its namespace; the elements read here are the same in both."""
_OPENNEBULA: Final = re.compile(re.escape("http://opennebula.org/xmlns/libvirt/1.0"))
"""https://github.com/OpenNebula/one/blob/master/src/vmm/LibVirtDriverKVM.cc"""
_OVIRT: Final = re.compile(re.escape("http://ovirt.org/vm/1.0"))
"""LibvirtVmXmlBuilder.java of https://github.com/oVirt/ovirt-engine: since version 4.2. Custom properties
and the files of the initial run (devices) are in the same element; they may be secret and are not read.
"""
_NO_NAMESPACE: Final = re.compile("")
"""oVirt 4.2 wrote some elements of its metadata without a namespace."""
_VM_DIRECTORY: Final = re.compile(r"/(?P<datastore>[0-9]{1,10})/(?P<vm>[0-9]{1,10})\Z", re.ASCII)
"""OpenNebula names the VM and its system datastore by the directory: <location>/<datastore>/<VM>."""


def parse_details(xml: str) -> DomainDetails | None:
    """Return the details in a domain's XML; None, after a log message, if it cannot be parsed safely."""
    if len(xml) > _XML_LIMIT:
        log.warning("domain XML ignored: too long", extra={"characters": len(xml), "limit": _XML_LIMIT})
        return None
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        log.warning("domain XML ignored: not valid", extra={"error": str(error)})
        return None
    metadata = root.find("metadata")
    return DomainDetails(
        type=clean(root.get("type", "")),
        title=clean(_text(root.find("title"))),
        nova=_nova(metadata),
        opennebula=_opennebula(metadata),
        ovirt=_ovirt(metadata),
    )


def _nova(metadata: Element | None) -> Nova | None:
    instance = _child(metadata, "instance", _NOVA)
    if instance is None:
        return None
    flavor = _child(instance, "flavor", _NOVA)
    owner = _child(instance, "owner", _NOVA)
    project, user = _child(owner, "project", _NOVA), _child(owner, "user", _NOVA)
    return Nova(
        instance_name=clean(_text(_child(instance, "name", _NOVA))),
        flavor=clean(_attribute(flavor, "name")),
        project_name=clean(_text(project)),
        project_id=clean(_attribute(project, "uuid")),
        user_name=clean(_text(user)),
        user_id=clean(_attribute(user, "uuid")),
    )


def _opennebula(metadata: Element | None) -> OpenNebula | None:
    vm = _child(metadata, "vm", _OPENNEBULA)
    if vm is None:
        return None
    directory = _VM_DIRECTORY.search(_text(_child(vm, "system_datastore", _OPENNEBULA)))
    return OpenNebula(
        vm_id=directory["vm"] if directory else "",
        vm_name=clean(_text(_child(vm, "name", _OPENNEBULA))),
        user_name=clean(_text(_child(vm, "uname", _OPENNEBULA))),
        user_id=clean(_text(_child(vm, "uid", _OPENNEBULA))),
        group_name=clean(_text(_child(vm, "gname", _OPENNEBULA))),
        group_id=clean(_text(_child(vm, "gid", _OPENNEBULA))),
        datastore_id=directory["datastore"] if directory else "",
    )


def _ovirt(metadata: Element | None) -> Ovirt | None:
    vm = _child(metadata, "vm", _OVIRT)
    if vm is None:
        return None
    return Ovirt(
        cluster_version=clean(_text(_child(vm, "clusterVersion", _OVIRT, _NO_NAMESPACE))),
        resume_behavior=clean(_text(_child(vm, "resumeBehavior", _OVIRT, _NO_NAMESPACE))),
    )


def _child(parent: Element | None, name: str, *namespaces: Pattern[str]) -> Element | None:
    """Return the first child with this name in one of the namespaces."""
    if parent is None:
        return None
    return next((child for child in parent if _is_named(child.tag, name, namespaces)), None)


def _is_named(tag: str, name: str, namespaces: tuple[Pattern[str], ...]) -> bool:
    namespace, _, local = tag.rpartition("}")
    return local == name and any(pattern.fullmatch(namespace.removeprefix("{")) for pattern in namespaces)


def _text(element: Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")

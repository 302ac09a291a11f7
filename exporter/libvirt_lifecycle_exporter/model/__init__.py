"""The values of the domain model: events, states, messages from libvirt, transitions. Imports nothing.

* ``vocabulary``     every event and reason, and the metric pairs that start at zero; tables only
* ``severity``       severity, incident kind and completed operation of each transition; tables only
* ``states``         domain states and their reasons, and the state that each event leads to
* ``messages``       what the hypervisor package sends to the worker
* ``transitions``    what is counted
* ``domain_filter``  which domains are exported, by name
* ``text``           sanitizing of strings from guests, users and configuration

Invariant: every value is immutable, and every string in it has been sanitized.
"""

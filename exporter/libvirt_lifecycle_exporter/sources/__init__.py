"""Where observations come from: the only rooms that import libvirt.

Law: every libvirt call runs on a thread of its connection's own, except callbacks, which the event
loop's thread runs and which only copy and enqueue. No virDomain outlives the call that got it: a kept
one keeps the old connection alive, and it would deliver everything twice.
"""

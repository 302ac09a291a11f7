"""HTTP: /metrics, health, the page at /. Knows nothing of libvirt."""

"""``python -m libvirt_lifecycle_exporter``: the same as the installed command."""

from libvirt_lifecycle_exporter.cli.main import main

if __name__ == "__main__":
    main()

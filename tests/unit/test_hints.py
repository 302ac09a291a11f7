"""What `check` says to libvirt's refusals."""

import pytest

from libvirt_lifecycle_exporter.sources.doctor import hints


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("Failed to connect socket to '/run/libvirt/libvirt-sock-ro': Permission denied", "usermod"),
        ("Failed to connect socket: No such file or directory", "installed"),
        ("authentication unavailable: no polkit agent", "polkit rule"),
        ("Failed to find user record for uid '65532'", "/etc/passwd"),
        ("Failed to find group record for gid '65532'", "/etc/group"),
    ],
)
def test_each_refusal_has_its_advice(refusal: str, advice: str) -> None:
    (hint,) = hints(refusal)
    assert hint.startswith("hint: ")
    assert advice in hint


def test_what_is_not_known_has_none() -> None:
    assert hints("the moon is in the wrong house") == ()

"""Certificates of a test CA for a server and a client, and of a CA that nothing trusts."""

import subprocess
from pathlib import Path


def certificates(folder: Path) -> Path:
    """Write ca.pem, server.pem, server.key, client.pem, client.key and stranger.pem into the folder."""
    for authority in ("ca", "stranger"):
        _openssl(
            folder,
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}"),
            *("-keyout", f"{authority}.key", "-out", f"{authority}.pem"),
        )
    for who in ("server", "client"):
        sign(folder, who)
    return folder


def sign(folder: Path, who: str, *, by: str = "ca", extension: str = "subjectAltName=IP:127.0.0.1") -> None:
    """Write who.pem and who.key."""
    (folder / "extension").write_text(f"{extension}\n")
    _openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={who}"),
        *("-keyout", f"{who}.key", "-out", f"{who}.csr"),
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{who}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", "extension", "-out", f"{who}.pem"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

"""A self-made certificate, the same for every contender."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.servers import BenchmarkError, program


def make_certificate(folder: Path) -> Path:
    """Make a key (ECDSA P-256) and a certificate for 127.0.0.1 in one PEM file, and return it."""
    key, certificate, both = (folder / name for name in ("server.key", "server.crt", "server.pem"))
    command = [
        program("openssl"),
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchmarkError(f"openssl: ended with code {done.returncode}\n{done.stderr}")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both

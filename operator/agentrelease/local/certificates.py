"""A small certificate authority by the `openssl` program, for a control plane from ready-made binaries.

The embedded control plane has its own (`pki.go`); this one spares whoever brings binaries the build.
"""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authority"]

_DAYS = "365"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


@dataclass(frozen=True, slots=True)
class Authority:
    """Keys and certificates of one control plane, in `directory`."""

    directory: Path

    def create(self) -> None:
        """Make the authority, the API server's certificate and the key that signs service accounts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS, "-subj", "/CN=local"
        )
        names = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.0.0.1"
        self._issue("server", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}\n")
        self._openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "service-account.key")

    def kubeconfig(self, server: str, name: str, *groups: str) -> str:
        """Give a self-contained kubeconfig for that user name and these groups."""
        subject = "".join([*(f"/O={_escaped(group)}" for group in groups), f"/CN={_escaped(name)}"])
        self._issue("client", subject, "extendedKeyUsage=clientAuth\n")
        cluster = {"server": server, "certificate-authority-data": self._encoded("ca.crt")}
        user = {
            "client-certificate-data": self._encoded("client.crt"),
            "client-key-data": self._encoded("client.key"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
            "current-context": "local",
        }
        return yaml.safe_dump(config)

    def _issue(self, name: str, subject: str, extensions: str) -> None:
        (self.directory / f"{name}.ext").write_text(extensions)
        key, request, certificate = f"{name}.key", f"{name}.csr", f"{name}.crt"
        self._openssl("req", "-new", *_KEY, "-keyout", key, "-out", request, "-subj", subject)
        signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", _DAYS, "-extfile", f"{name}.ext"]
        self._openssl("x509", "-req", "-in", request, "-out", certificate, *signer)

    def _encoded(self, name: str) -> str:
        return base64.b64encode((self.directory / name).read_bytes()).decode()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=self.directory, capture_output=True)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("/", "\\/").replace("+", "\\+")

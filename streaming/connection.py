"""How to reach a Kafka cluster, once, in the words of each client: kafka-python, Spark's source, librdkafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes. Dead letters carry a message as base64 inside JSON, so it is far above the largest one that is expected."""

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class ConnectionSettingError(ValueError):
    """A Kafka setting cannot be used; the message names the environment variable and the values there are."""


@dataclass(frozen=True, kw_only=True)
class KafkaConnection:
    """Address and credentials of a cluster. Secrets never show in its text form."""

    bootstrap_servers: str
    """`host:port`, several with commas between."""
    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """PEM file with the certificates that the cluster's own certificate must descend from."""
    client_file: Path | None = None
    """PEM file with the client's private key and certificate chain, for clusters that want one."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> KafkaConnection | None:
        """The cluster that `NLQ_KAFKA_BOOTSTRAP` names; None when the embedded broker is to be used.

        Raises:
            ConnectionSettingError: a setting has an unknown value or one that it needs is missing.
        """
        from pathlib import Path

        if not (servers := environ.get("NLQ_KAFKA_BOOTSTRAP", "").strip()):
            return None
        username = environ.get("NLQ_KAFKA_SASL_USERNAME")
        ca_file, client_file = environ.get("NLQ_KAFKA_CA_FILE"), environ.get("NLQ_KAFKA_CLIENT_FILE")
        secured = "SSL" if ca_file or client_file else "PLAINTEXT"
        protocol = environ.get("NLQ_KAFKA_SECURITY_PROTOCOL") or (f"SASL_{secured}" if username else secured)
        mechanism = environ.get("NLQ_KAFKA_SASL_MECHANISM") or ("PLAIN" if protocol.startswith("SASL") else None)
        if protocol not in _PROTOCOLS:
            raise ConnectionSettingError(
                f"NLQ_KAFKA_SECURITY_PROTOCOL={protocol!r}: use one of {', '.join(_PROTOCOLS)}"
            )
        if mechanism is not None and mechanism not in _MECHANISMS:
            raise ConnectionSettingError(f"NLQ_KAFKA_SASL_MECHANISM={mechanism!r}: use one of {', '.join(_MECHANISMS)}")
        password = environ.get("NLQ_KAFKA_SASL_PASSWORD")
        if protocol.startswith("SASL") and not (username and password):
            raise ConnectionSettingError(
                f"{protocol} needs a user: set NLQ_KAFKA_SASL_USERNAME and NLQ_KAFKA_SASL_PASSWORD"
            )
        for name, file in (("NLQ_KAFKA_CA_FILE", ca_file), ("NLQ_KAFKA_CLIENT_FILE", client_file)):
            if file and not Path(file).is_file():
                raise ConnectionSettingError(f"{name}={file!r}: there is no such file")
        return cls(
            bootstrap_servers=servers,
            protocol=protocol,
            mechanism=mechanism,
            username=username,
            password=password,
            ca_file=Path(ca_file) if ca_file else None,
            client_file=Path(client_file) if client_file else None,
        )

    def python_client(self) -> dict[str, Any]:
        """Keyword arguments that every kafka-python client takes."""
        settings: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.protocol,
        }
        if self.mechanism:
            settings |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.ca_file:
            settings["ssl_cafile"] = str(self.ca_file)
        if self.client_file:
            settings |= {"ssl_certfile": str(self.client_file), "ssl_keyfile": str(self.client_file)}
        return settings

    def python_producer(self) -> dict[str, Any]:
        """Keyword arguments of a kafka-python producer that neither loses nor doubles a message."""
        return self.python_client() | {
            "acks": "all",
            "enable_idempotence": True,
            "max_request_size": LARGEST_MESSAGE,
        }

    def spark_options(self) -> dict[str, str]:
        """Options of Spark's Kafka source and sink, `kafka.` prefixes included."""
        options = {"bootstrap.servers": self.bootstrap_servers, "security.protocol": self.protocol}
        if self.mechanism:
            module = (
                "org.apache.kafka.common.security.plain.PlainLoginModule"
                if self.mechanism == "PLAIN"
                else "org.apache.kafka.common.security.scram.ScramLoginModule"
            )
            options |= {
                "sasl.mechanism": self.mechanism,
                "sasl.jaas.config": (
                    f"{module} required username={_quoted(self.username)} password={_quoted(self.password)};"
                ),
            }
        if self.ca_file:
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(self.ca_file)}
        if self.client_file:
            options |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self.client_file)}
        return {f"kafka.{name}": value for name, value in options.items()}

    def rdkafka(self) -> dict[str, str]:
        """Settings of a librdkafka client (the benchmark's load generator)."""
        settings = {"bootstrap.servers": self.bootstrap_servers, "security.protocol": self.protocol}
        if self.mechanism:
            settings |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username or "",
                "sasl.password": self.password or "",
            }
        if self.ca_file:
            settings["ssl.ca.location"] = str(self.ca_file)
        if self.client_file:
            settings |= {"ssl.certificate.location": str(self.client_file), "ssl.key.location": str(self.client_file)}
        return settings


def _quoted(text: str | None) -> str:
    """A JAAS string: a quote or backslash inside would end it early."""
    return '"' + (text or "").replace("\\", "\\\\").replace('"', '\\"') + '"'

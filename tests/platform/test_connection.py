"""One description of a cluster serves all clients; a secured cluster is reached over TLS with a user."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from streaming import broker as broker_module
from streaming.broker import Broker
from streaming.connection import ConnectionSettingError, KafkaConnection
from streaming.topics import BrokerUnreachable, Topic, ensure_topics
from tests.certificates import self_signed

PASSWORD = 'quo"te\\and=more'


def test_without_an_address_the_embedded_broker_is_meant():
    assert KafkaConnection.from_environ({}) is None
    assert KafkaConnection.from_environ({"NLQ_KAFKA_BOOTSTRAP": "  "}) is None


def test_plain_address():
    connection = KafkaConnection.from_environ({"NLQ_KAFKA_BOOTSTRAP": "a:1,b:2"})
    assert connection.python_client() == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}
    assert connection.spark_options() == {
        "kafka.bootstrap.servers": "a:1,b:2",
        "kafka.security.protocol": "PLAINTEXT",
    }
    assert connection.rdkafka() == {"bootstrap.servers": "a:1,b:2", "security.protocol": "PLAINTEXT"}


def test_user_and_certificate_choose_the_protocol(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    user = {"NLQ_KAFKA_SASL_USERNAME": "u", "NLQ_KAFKA_SASL_PASSWORD": "p"}
    there = {"NLQ_KAFKA_BOOTSTRAP": "a:1"}
    tls = {"NLQ_KAFKA_CA_FILE": str(ca)}
    assert [
        KafkaConnection.from_environ(environ).protocol
        for environ in (there, there | user, there | tls, there | user | tls)
    ] == ["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"NLQ_KAFKA_SECURITY_PROTOCOL": "TLS"}, "NLQ_KAFKA_SECURITY_PROTOCOL='TLS': use one of PLAINTEXT, SSL"),
        ({"NLQ_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "set NLQ_KAFKA_SASL_USERNAME and NLQ_KAFKA_SASL_PASSWORD"),
        ({"NLQ_KAFKA_SASL_MECHANISM": "MD5"}, "NLQ_KAFKA_SASL_MECHANISM='MD5': use one of PLAIN, SCRAM"),
        ({"NLQ_KAFKA_CA_FILE": "/no/such.pem"}, "NLQ_KAFKA_CA_FILE='/no/such.pem': there is no such file"),
    ],
)
def test_wrong_settings_name_the_variable(setting, message):
    with pytest.raises(ConnectionSettingError, match=message):
        KafkaConnection.from_environ({"NLQ_KAFKA_BOOTSTRAP": "a:1", **setting})


def test_secrets_do_not_show():
    shown = repr(KafkaConnection(bootstrap_servers="a:1", username="petra", password="geheim"))
    assert "geheim" not in shown
    assert "petra" not in shown


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A broker that wants TLS and a user."""
    folder = tmp_path_factory.mktemp("secured")
    certificate = self_signed(folder)
    secure = broker_module._PROPERTIES.replace("listeners=PLAINTEXT", "listeners=SASL_SSL")
    secure = secure.replace("inter.broker.listener.name=PLAINTEXT", "inter.broker.listener.name=SASL_SSL")
    secure = secure.replace(",PLAINTEXT:PLAINTEXT", ",SASL_SSL:SASL_SSL")
    escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"').replace("\\", "\\\\")
    secure += f"""
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={certificate}
ssl.endpoint.identification.algorithm=
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="admin-secret" user_admin="admin-secret" user_officer="{escaped}";
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker_module, "_PROPERTIES", secure)
        # The probe for readiness speaks plain Kafka; here an open port has to do.
        patch.setattr(broker_module, "_answers", open_port)
        with Broker(folder / "data") as broker:
            yield {
                "NLQ_KAFKA_BOOTSTRAP": broker.bootstrap_servers,
                "NLQ_KAFKA_CA_FILE": str(certificate),
                "NLQ_KAFKA_SASL_USERNAME": "officer",
                "NLQ_KAFKA_SASL_PASSWORD": PASSWORD,
            }


def open_port(port):
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_python_and_spark_reach_a_secured_cluster(secured, spark):
    connection = KafkaConnection.from_environ(secured)
    assert connection.protocol == "SASL_SSL"
    ensure_topics(connection, topics=[Topic(name="secret")])
    producer = KafkaProducer(**connection.python_producer())
    producer.send("secret", value=b"through TLS").get(30)
    producer.close()
    rows = spark.read.format("kafka").options(**connection.spark_options(), subscribe="secret").load().collect()
    assert [bytes(row.value) for row in rows] == [b"through TLS"]


def test_wrong_password_and_unknown_authority_are_refused(secured, tmp_path):
    wrong = KafkaConnection.from_environ(secured | {"NLQ_KAFKA_SASL_PASSWORD": "wrong"})
    with pytest.raises(BrokerUnreachable, match="are address, TLS and user right"):
        ensure_topics(wrong, timeout_s=2)
    stranger = KafkaConnection.from_environ(secured | {"NLQ_KAFKA_CA_FILE": str(self_signed(tmp_path))})
    with pytest.raises(BrokerUnreachable, match="are address, TLS and user right"):
        ensure_topics(stranger, timeout_s=2)

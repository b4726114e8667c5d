"""The HTTP target on the wire (I1, I2): signatures, TLS, HTTP/2, and what a real endpoint answers.

The oracle of signatures is the npm package `standardwebhooks`, that of everything else what the
endpoint recorded. The targets run in tests/tools/httpsend, without an engine."""

import base64
import gzip
import json
import os
import pathlib
import ssl
import subprocess

import pytest

from pgfan_test import process
from pgfan_test.engine import pgfan
from pgfan_test.receiver import Receiver, make_certificate

SEND = process.ROOT / os.environ.get("PGFAN_BUILD", "build") / "tests/tools/httpsend"
NODE_MODULES = process.ROOT / ".deps/node/node_modules"
CONF = {"data_dir": "/nonexistent", "sources": {"shop": {"dsn": "host=/nonexistent dbname=x"}}}

VERIFY = """
const {Webhook} = require(process.argv[1] + '/standardwebhooks');
const cases = JSON.parse(require('fs').readFileSync(0));
console.log(JSON.stringify(cases.map(({secret, payload, headers}) => {
  try { new Webhook(secret).verify(payload, headers); return true; } catch (e) { return e.message; }
})));
"""
HTTP2 = """
const [key, cert] = process.argv.slice(1, 3).map((path) => require('fs').readFileSync(path));
const server = require('http2').createSecureServer({key, cert, allowHTTP1: true}, (req, res) => {
  let body = '';
  req.on('data', (data) => body += data);
  req.on('end', () => {
    console.log(JSON.stringify({version: req.httpVersion, path: req.url, body,
                                id: req.headers['webhook-id']}));
    res.end('ok');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


def secret():
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def event(number, **more):
    """What httpsend takes; the id is the one that the target gives to event `number` of a batch."""
    return {"key": {"id": number}, **more,
            "event": {"id": f"7-s-{1000 + number:016x}-00000000", "n": number,
                      **more.get("event", {})}}


class Sender:
    """httpsend with some targets; send() is one request() of one of them."""

    def __init__(self, directory, **targets):
        path = pathlib.Path(directory) / "send.yaml"
        targets = [{"name": name, "type": "http", **options} for name, options in targets.items()]
        path.write_text(json.dumps({**CONF, "pipelines": [
            {"name": "p", "source": "shop", "tables": ["public.t"], "targets": targets}]}))
        path.chmod(0o600)
        self.child = subprocess.Popen([SEND, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)

    def send(self, events, target="t"):
        order = {"target": target, "events": events}
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, self.child.stderr.read()
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(30) == 0, self.child.stderr.read()


@pytest.fixture
def make(directory):
    """Makes receivers and senders that end with the test."""
    made = []

    def receiver(name="receiver", **options):
        made.append(Receiver(directory, name, **options).stop)
        return made[-1].__self__

    def sender(**targets):
        for options in targets.values():
            options.setdefault("allow_private", True)
            options.setdefault("allow_http", True)
        made.append(Sender(directory, **targets).close)
        return made[-1].__self__

    make.receiver, make.sender = receiver, sender
    yield make
    for end in reversed(made):
        end()


def verify(cases):
    done = subprocess.run(["node", "-e", VERIFY, NODE_MODULES], input=json.dumps(cases), text=True,
                          capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def case(request, key, **changes):
    headers = {name: value for name, value in request["headers"].items() if "webhook" in name}
    return {"secret": key, "payload": request["text"], "headers": headers, **changes}


def test_i2_signatures_verify_with_an_independent_implementation(make):
    old, new = secret(), secret()
    receiver = make.receiver()
    options = {"url": receiver.url(), "signing_secret": new}
    sender = make.sender(t=options, rotating={**options, "signing_secret_old": old},
                         gzip={**options, "compression": "gzip"},
                         single={**options, "mode": "single", "url": receiver.url("/${key.id}")})
    strange = [event(0, event={"text": "ä\u2028\U0001f600\"\\\n</script>", "x": 1e300}), event(1)]
    for target in ("t", "rotating", "gzip", "single"):
        assert sender.send(strange, target)["status"] == "ok"
    plain, rotating, packed, *single = receiver.requests()
    assert len(single) == 2 and packed["headers"]["content-encoding"] == "gzip"
    good = [case(plain, new), case(rotating, new), case(rotating, old), case(packed, new),
            *(case(request, new) for request in single)]
    bad = [case(plain, old), case(plain, secret()),
           case(plain, new, payload=plain["text"].replace("1", "2")),
           case(plain, new, headers=case(rotating, new)["headers"] | {"webhook-id": "x"})]
    results = verify(good + bad)
    assert results[:len(good)] == [True] * len(good)
    assert all(result is not True for result in results[len(good):])


def test_i1_failed_lists_and_poison_words(make):
    receiver = make.receiver()
    sender = make.sender(t={"url": receiver.url(), "body": "ndjson"})
    receiver.failed = {'"n": 1': True, '"n": 3': False}
    answer = sender.send([event(i) for i in range(5)])
    assert answer["status"] == "ok"
    assert [(v["event"], v["poison"]) for v in answer["failed"]] == [(1, False), (3, True)]
    assert [taken["n"] for taken in receiver.events()] == [0, 2, 4]
    receiver.failed, receiver.poison = {}, {"needle"}
    answer = sender.send([event(0), event(1, event={"text": "a needle"})])
    assert (answer["status"], answer["code"]) == ("poison", "HTTP_400")
    assert "a poison word" in answer["text"] and answer["failed"] == []


def test_failed_list_in_a_compressed_answer_is_found(make):
    receiver = make.receiver()
    sender = make.sender(t={"url": receiver.url()})
    failed = {"failed": [{"id": event(1)["event"]["id"], "retry": True}]}
    receiver.answer(body=gzip.compress(json.dumps(failed).encode()),
                    headers={"content-encoding": "gzip"})
    receiver.answer(body=b"\x00" * 10, headers={"content-encoding": "strange"})
    receiver.answer(body=gzip.compress(b" " * 1000000), headers={"content-encoding": "gzip"})
    answer = sender.send([event(0), event(1)])
    assert answer["status"] == "ok" and [v["event"] for v in answer["failed"]] == [1]
    assert sender.send([event(0), event(1)])["status"] == "retry"
    assert sender.send([event(0), event(1)])["code"] == "HTTP_ANSWER"
    assert receiver.requests()[0]["headers"]["accept-encoding"] == "identity"


@pytest.mark.parametrize("step, status, code", [
    ({"status": 503, "headers": {"retry-after": "3"}}, "retry", "HTTP_503"),
    ({"act": "reset"}, "retry", "HTTP_TRANSFER"),
    ({"act": "close"}, "retry", "HTTP_TRANSFER"),
    ({"act": "half", "body": "x" * 1000}, "retry", "HTTP_TRANSFER"),
    ({"act": "hang"}, "retry", "HTTP_TIMEOUT"),
    ({"delay": 5}, "retry", "HTTP_TIMEOUT"),
    ({"drip": 0.05, "body": "x" * 1000}, "retry", "HTTP_TIMEOUT"),
    ({"status": 307, "headers": {"location": "http://127.0.0.1:1/"}}, "fatal", "HTTP_307"),
    ({"status": 410}, "fatal", "HTTP_410"),
    ({"body": "x" * 70000}, "retry", "HTTP_ANSWER"),
])
def test_57_58_what_an_endpoint_may_do(make, step, status, code):
    receiver = make.receiver()
    sender = make.sender(t={"url": receiver.url(), "timeout": "1s"})
    receiver.answer(**step)
    answer = sender.send([event(0), event(1)])
    assert (answer["status"], answer["code"]) == (status, code), answer
    assert answer["retry_after_ms"] == (3000 if "retry-after" in step.get("headers", {}) else 0)
    assert len(receiver.requests()) == 1
    assert sender.send([event(0)])["status"] == "ok"


def test_56_the_id_stays_the_same_over_attempts(make):
    receiver = make.receiver()
    sender = make.sender(t={"url": receiver.url(), "timeout": "500ms"})
    receiver.answer(act="hang")  # taken, but the sender never hears of it
    batch = [event(i) for i in range(3)]
    assert sender.send(batch)["status"] == "retry"
    assert sender.send(batch)["status"] == "ok"
    first, second = receiver.requests()
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["text"] == second["text"]
    assert sender.send(batch[:2])["status"] == "ok"
    assert receiver.requests()[2]["headers"]["webhook-id"] != first["headers"]["webhook-id"]


def test_endpoint_that_goes_away_and_comes_back(make):
    receiver = make.receiver()
    sender = make.sender(t={"url": receiver.url()})
    assert sender.send([event(0)])["status"] == "ok"
    receiver.down()
    answer = sender.send([event(1)])
    assert (answer["status"], answer["code"]) == ("retry", "HTTP_CONNECT")
    receiver.up()
    assert sender.send([event(1)])["status"] == "ok"
    assert [taken["n"] for taken in receiver.events()] == [0, 1]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # an old one is meant
def test_i1_tls_is_verified(make, directory):
    authority = make_certificate(directory, "ca", "a test")
    good = make_certificate(directory, "good", issuer=authority)
    other = make_certificate(directory, "other", names="DNS:other.example.org", issuer=authority)
    client = make_certificate(directory, "client", "pgfan", issuer=authority)
    endpoint = make.receiver("endpoint", tls=good)
    strange = make.receiver("strange", tls=other)
    mutual = make.receiver("mutual", tls=good, client_ca=authority[0])
    ancient = make.receiver("ancient", tls=good, tls_version=ssl.TLSVersion.TLSv1_1)
    ca, pair = str(authority[0]), {"client_cert": str(client[0]), "client_key": str(client[1])}
    sender = make.sender(
        good={"url": endpoint.url(), "ca": ca}, unknown={"url": endpoint.url()},
        strange={"url": strange.url(), "ca": ca}, mutual={"url": mutual.url(), "ca": ca, **pair},
        nobody={"url": mutual.url(), "ca": ca}, ancient={"url": ancient.url(), "ca": ca},
        plain={"url": endpoint.url().replace("https", "http")},
        guarded={"url": endpoint.url(host="localhost"), "ca": ca})
    expected = {"good": ("ok", ""), "unknown": ("fatal", "HTTP_CERTIFICATE"),
                "strange": ("fatal", "HTTP_CERTIFICATE"), "mutual": ("ok", ""),
                "ancient": ("retry", "HTTP_TLS"), "guarded": ("ok", "")}
    for name, outcome in expected.items():
        answer = sender.send([event(0)], name)
        assert (answer["status"], answer["code"]) == outcome, (name, answer)
    # TLS 1.3 tells of a missing certificate when the answer is read, as any alert.
    assert sender.send([event(0)], "nobody")["status"] in ("retry", "fatal")
    assert sender.send([event(0)], "plain")["status"] == "retry"
    assert len(endpoint.requests()) == 2 and len(mutual.requests()) == 1
    assert not strange.requests() and not ancient.requests()


def test_ssrf_guard_looks_at_kept_connections_too(make, directory):
    """Two targets share a connection, but not what their guards allow."""
    # A name, because the conf check refuses the literal of a private address.
    certificate = make_certificate(directory, "self", names="DNS:x.localhost")
    receiver = make.receiver(tls=certificate)
    url, ca = receiver.url(host="x.localhost"), str(certificate[0])
    sender = make.sender(open={"url": url, "ca": ca},
                         guarded={"url": url, "ca": ca, "allow_private": False})
    assert sender.send([event(0)], "open")["status"] == "ok"
    answer = sender.send([event(1)], "guarded")
    assert (answer["status"], answer["code"]) == ("fatal", "HTTP_ADDRESS_REFUSED")
    assert len(receiver.requests()) == 1


def test_i1_http2_where_it_is_offered(make, directory):
    certificate, key = make_certificate(directory, "h2")
    server = process.spawn(["node", "-e", HTTP2, key, certificate], stdout=subprocess.PIPE,
                           text=True)
    try:
        url = f"https://127.0.0.1:{int(server.stdout.readline())}/x"
        options = {"url": url, "ca": str(certificate)}
        sender = make.sender(two=options, one={**options, "http_version": "1.1"})
        for target, version in (("two", "2.0"), ("one", "1.1")):
            assert sender.send([event(0), event(1)], target)["status"] == "ok"
            got = json.loads(server.stdout.readline())
            assert (got["version"], got["path"]) == (version, "/x")
            assert [item["n"] for item in json.loads(got["body"])] == [0, 1]
            assert got["id"].endswith("~2")
    finally:
        process.stop(server)


def test_no_secret_in_the_effective_conf_or_a_message(make, directory):
    receiver = make.receiver()
    words = {"password": "S3CR3T-password", "header": "S3CR3T-header"}
    receiver.answer(status=401, body=f"not {words['password']}, {words['header']}")
    options = {"url": receiver.url(), "username": "joe", "password": words["password"],
               "headers": {"x-key": words["header"]}, "signing_secret": secret()}
    answer = make.sender(t=options).send([event(0)])
    assert answer["status"] == "fatal" and "S3CR3T" not in json.dumps(answer)
    shown = pgfan("config", "-c", directory / "send.yaml")
    assert shown.returncode == 0
    for word in (*words.values(), options["signing_secret"]):
        assert word not in shown.stdout + shown.stderr


def test_no_secret_in_what_a_running_engine_shows(scene, make):
    """Status, metrics and log of an engine whose target has headers, a password and a signing secret."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    receiver = make.receiver()
    receiver.answer(status=500, count=3, body="S3CR3T-header")
    target = {"name": "hook", "type": "http", "url": receiver.url(), "allow_private": True,
              "allow_http": True, "headers": {"x-key": "S3CR3T-header"}, "username": "joe",
              "password": "S3CR3T-password", "signing_secret": secret()}
    engine = scene.engine(scene.conf(targets=[target])).start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    shown = json.dumps(engine.status()) + json.dumps(engine.pipeline())
    shown += pgfan("status", "--json", "-c", engine.conf_path).stdout
    assert engine.stop() == 0
    for word in ("S3CR3T", target["signing_secret"]):
        assert word not in shown + engine.stderr()

"""Logs, error pages with a number, health, metrics and the doctor, as whoever keeps the site running meets them."""

import json
import logging
import sys
from contextlib import contextmanager

import pytest
from redis.exceptions import ResponseError

from features.jobs import doorbell
from saeviz import env
from saeviz.observability import doctor, health, logs, workers


class FakeRedis:
    """Keeps what is set; refuses with `refusal`, if there is one."""

    def __init__(self):
        self.kept, self.refusal = {}, None

    def set(self, key, value, ex):
        if self.refusal:
            raise self.refusal
        self.kept[key] = value

    def scan_iter(self, match, count):
        return [key.encode() for key in self.kept if key.startswith(match[:-1])]

    def mget(self, keys):
        return [self.kept[key.decode()] for key in keys]

    def ping(self):
        return True

    def info(self, section):
        return {"redis_version": "7"}


@pytest.fixture
def redis(monkeypatch):
    fake = FakeRedis()

    @contextmanager
    def client():
        yield fake

    monkeypatch.setattr(doorbell, "client", client)
    health.forget()
    yield fake
    health.forget()


def broken():
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize("form", [logs.TextLines, logs.JsonLines])
def test_an_error_leaves_its_traceback_under_the_number_that_its_page_shows(client, monkeypatch, caplog, form):
    client.raise_request_exception = False
    monkeypatch.setattr(health, "look", broken)
    caplog.handler.setFormatter(form())
    page = client.get("/health/?q=a prompt")  # no database is allowed here: the page needs none
    number = page.headers["X-Request-ID"]
    assert page.status_code == 500 and f"<code>{number}</code>" in page.content.decode()
    (line,) = [part for part in caplog.text.split("\n") if "Internal Server Error" in part]
    assert number in line and "ERROR" in line and "a prompt" not in caplog.text
    assert "Traceback" in caplog.text and "ZeroDivisionError: a fault of ours" in caplog.text
    answer = client.get("/health/?format=json").json()
    assert answer["number"] in caplog.text and "log says why" in answer["error"]


def test_a_stranger_can_neither_begin_a_line_of_the_log_nor_choose_its_number(client, redis, caplog):
    caplog.handler.setFormatter(logs.TextLines())
    caplog.set_level(logging.INFO)
    answer = client.get("/metrics%0A2027-01-01 ERROR faked", headers={"X-Request-ID": "faked\nline"})
    assert "\n2027" not in caplog.text and r"\n2027-01-01 ERROR faked" in caplog.text
    assert "faked\nline" not in caplog.text and len(answer.headers["X-Request-ID"]) == 12
    assert client.get("/x/", headers={"X-Request-ID": "proxy-0001"}).headers["X-Request-ID"] == "proxy-0001"


@pytest.mark.django_db
def test_health_tells_what_is_away_and_what_waits(client, redis, tiny, sent):
    from features.jobs.requests import request_statistics

    request_statistics(tiny)
    found = client.get("/health/").json()
    assert found["status"] == "degraded" and found["queue"]["ok"] and not found["workers"]["ok"]
    assert found["database"]["work"]["job"]["queued"] == 1
    workers.beat("saeviz-1@here", processes=2, busy=1)
    health.forget()
    found = client.get("/health/").json()
    assert found["status"] == "ok" and (found["workers"]["count"], found["workers"]["busy"]) == (1, 1)
    redis.refusal = ResponseError("MISCONF Redis is configured to save RDB snapshots")
    health.forget()
    found = client.get("/health/").json()
    assert found["status"] == "degraded" and found["queue"] == {"ok": False, "why": "MISCONF"}


def test_health_without_a_database_is_503(client, redis, monkeypatch):
    monkeypatch.setattr(health, "_database", lambda: {"ok": False, "why": "OperationalError"})
    answer = client.get("/health/")
    assert answer.status_code == 503 and answer.json()["status"] == "down"


@pytest.mark.django_db
def test_metrics_are_for_this_machine_or_for_the_token(client, redis, settings):
    client.get("/nowhere/")
    text = client.get("/metrics").content.decode()
    assert 'saeviz_requests_total{method="GET",route="static or none",status="404"}' in text
    assert 'saeviz_up{part="queue"} 1.0' in text and 'saeviz_work{kind="job",state="queued"} 0.0' in text
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403
    settings.SAEVIZ_BEHIND_TLS = True
    assert client.get("/metrics").status_code == 403
    settings.SAEVIZ_METRICS_TOKEN = "secret"
    assert client.get("/metrics", headers={"Authorization": "Bearer guessed"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


# What the doctor finds


def found(look) -> str:
    return "\n".join(f"{f.state} {f.subject}: {f.what} {f.mend}" for f in look())


def test_the_doctor_says_why_redis_refuses_and_what_mends_it(redis):
    redis.refusal = ResponseError("MISCONF Redis is configured to save RDB snapshots, but ...")
    assert "wrong Redis" in found(doctor._redis) and "free space there" in found(doctor._redis)
    redis.refusal = None
    assert "ok Redis" in found(doctor._redis) and "None was heard of" in found(doctor._redis)


def test_the_doctor_sees_what_others_may_read_and_names_that_nobody_reads(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    tmp_path.chmod(0o755)
    assert f"chmod -R go= {tmp_path}" in found(doctor._data_dir)
    tmp_path.chmod(0o700)
    assert found(doctor._data_dir).startswith("ok rights")
    monkeypatch.setenv("SAEVIZ_TOKNES", "5")
    assert env.unknown() == ["SAEVIZ_TOKNES"]


@pytest.mark.django_db
def test_the_doctor_tries_the_device_in_a_process_of_its_own_and_looks_at_the_database(settings, monkeypatch):
    settings.SAEVIZ_DEVICE = "cuda:7"
    monkeypatch.setattr(doctor, "TRY_DEVICE", "raise SystemExit('no CUDA here')")
    assert "wrong device: cuda:7 cannot be computed with: no CUDA here" in found(doctor._device)
    assert found(doctor._database).startswith("ok database")


# Settings that do not fit


@pytest.mark.parametrize(
    "name, said, told",
    [
        ("DATABASE_URL", "postgres://u:p#x%y@h/d", "cannot be read. Write postgres://"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "DATABASE_URL=mysql://u:...@h/d names no database that is known"),
        ("DATABASE_URL", "postgres://u:secret@h", "names no database after the last /"),
        ("DATABASE_URL", "sqlite://", "names no file, and nothing would be kept"),
        ("REDIS_URL", "redis://u:secret@h:port/0", "REDIS_URL=redis://u:...@h:port/0 names no Redis"),
        ("ALLOWED_HOSTS", "localhost, https://a.example", "https://a.example is no host. Give names or addresses"),
        ("SAEVIZ_WEBHOOK", "hooks.example/x", "is no address"),
        ("CSRF_TRUSTED_ORIGINS", "https://b.example, a.example", "a.example is no origin. Give scheme and host"),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example/sae", "https://a.example/sae is no origin"),
        ("SAEVIZ_LOG_FORMAT", "xml", "Say text, json; left out, it is text."),
        ("SAEVIZ_DEVICE", "gpu", "Say auto, cpu, mps, cuda or cuda:0."),
        ("SAEVIZ_BEHIND_TLS", "yes", "Say 1 for on, 0 for off"),
        ("SAEVIZ_PREFIX", "/a b", "Give a path like /sae"),
        ("SAEVIZ_PREFIX", "/saes", "Give a path like /sae"),
        ("TZ_NAME", "Mars/Olympus", "is no time zone"),
    ],
)
def test_what_does_not_fit_is_one_line_that_says_what_does(monkeypatch, name, said, told):
    monkeypatch.setenv(name, said)
    (line,) = env.problems()
    assert line.startswith(name) and told in line and "secret" not in line and "\n" not in line


def test_blanks_and_a_last_slash_of_an_origin_do_no_harm(monkeypatch):
    monkeypatch.setenv("CSRF_TRUSTED_ORIGINS", " https://b.example, https://a.example/ ,https://*.c.example:8443")
    wanted = ["https://b.example", "https://a.example", "https://*.c.example:8443"]
    assert env.origins("CSRF_TRUSTED_ORIGINS") == wanted


def test_a_server_started_with_a_wrong_setting_ends_with_its_line_alone(monkeypatch, capsys):
    import django.core.wsgi

    def refused():
        raise env.InvalidSetting("WORKERS=none does not fit.")

    monkeypatch.setattr(django.core.wsgi, "get_wsgi_application", refused)
    monkeypatch.delitem(sys.modules, "saeviz.wsgi", raising=False)
    with pytest.raises(SystemExit, match="3"):
        import saeviz.wsgi  # noqa: F401
    assert capsys.readouterr().err == "WORKERS=none does not fit.\n"


def test_json_lines_are_one_object_each():
    record = logging.LogRecord("a", logging.WARNING, "f", 1, "two\nlines %s", ("é",), None)
    line = logs.JsonLines().format(record)
    assert "\n" not in line and json.loads(line)["message"] == "two\nlines é"

"""Who is let in: forms of other origins, guesses at passwords, strangers' prompts, readers of the data folder."""

import os
import re
import stat
from urllib.parse import urljoin

import pytest
from django.test import Client
from django.urls import set_script_prefix

from features import strangers
from saeviz import database, env
from saeviz.doors import policy, prefix
from saeviz.running import hosts, paths
from tests.saeviz.test_arrows import ROOT

LOGIN = "/admin/login/"
WRONG = {"username": "ada", "password": "wrong"}


@pytest.fixture
def behind_tls(settings):
    settings.SAEVIZ_BEHIND_TLS = True
    for name, value in policy.BEHIND_TLS.items():
        setattr(settings, name, value)


def logged_in_with(client, origin, **headers):
    page = client.get(LOGIN, headers=headers)
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.content.decode()).group(1)
    return client.post(LOGIN, WRONG | {"csrfmiddlewaretoken": token}, headers={"Origin": origin, **headers})


@pytest.mark.django_db
def test_a_form_of_another_origin_is_refused_by_the_name_of_the_setting_that_lets_it_in(settings):
    client = Client(enforce_csrf_checks=True)
    page = logged_in_with(client, "https://a.example<b>")
    assert page.status_code == 403
    text = page.content.decode()
    assert "CSRF_TRUSTED_ORIGINS=https://a.example&lt;b&gt;" in text and "<code>http://testserver</code>" in text
    refused = client.post(LOGIN, WRONG, headers={"Origin": "https://a.example", "Accept": "application/json"})
    assert "CSRF_TRUSTED_ORIGINS=https://a.example" in refused.json()["error"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://a.example"]
    assert logged_in_with(Client(enforce_csrf_checks=True), "https://a.example").status_code == 200
    assert "sent no cookie" in Client(enforce_csrf_checks=True).post(LOGIN, WRONG).content.decode()
    assert "does not say from which page" in logged_in_with(Client(enforce_csrf_checks=True), "null").content.decode()


@pytest.mark.django_db
def test_one_setting_behind_tls_makes_cookies_secure_and_believes_the_proxy(behind_tls):
    client = Client(enforce_csrf_checks=True)
    page = logged_in_with(client, "https://testserver", Host="testserver")  # whose proxy does not say how it came
    assert page.status_code == 200
    assert "max-age=2592000" in page.headers["Strict-Transport-Security"]
    assert client.cookies["csrftoken"]["secure"]
    sent_on = client.get(LOGIN, headers={"X-Forwarded-Proto": "http", "Host": "testserver"})
    assert (sent_on.status_code, sent_on.url) == (301, f"https://testserver{LOGIN}")


def test_no_page_may_load_or_run_what_is_not_a_file_of_the_site(client, db):
    said = client.get("/nowhere/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in said and "script-src 'self'" in said and "style-src 'self'" in said
    assert "unsafe" not in said and "*" not in said
    assert client.get("/health/").headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


INLINE = re.compile(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*(?:\ssrc=|application/json))", re.IGNORECASE)
TAG = re.compile(r"{%.*?%}")
BY_SCRIPT = re.compile(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|setAttribute\(.style|cssText|\beval\(")


def test_no_script_or_style_stands_in_a_page():
    pages = {path.name: TAG.sub("", path.read_text()) for path in (ROOT / "templates").rglob("*.html")}
    found = [name for name, text in pages.items() if INLINE.search(text)]
    found += [path.name for path in (ROOT / "static").rglob("*.js") if BY_SCRIPT.search(path.read_text())]
    assert found == []
    assert INLINE.search("<p style='x'>") and INLINE.search("<script>") and INLINE.search('<a onclick="x">')
    assert not INLINE.search('<script type="module" src="x">')


@pytest.mark.django_db
def test_who_guesses_passwords_has_to_wait_and_others_need_not(client, settings, django_user_model):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.AXES_FAILURE_LIMIT = 2
    for name in ("ada", "bob"):
        django_user_model.objects.create_superuser(name, password="right")
    assert [client.post(LOGIN, WRONG).status_code for _ in range(2)] == [200, 429]
    page = client.post(LOGIN, WRONG | {"password": "right"})
    assert page.status_code == 429 and "Wait 10 minutes" in page.content.decode()
    assert client.post(LOGIN, WRONG | {"password": "right"}, REMOTE_ADDR="192.0.2.9").status_code == 302
    assert Client().post(LOGIN, {"username": "bob", "password": "right"}).status_code == 302


@pytest.mark.django_db
def test_strangers_ask_the_model_as_often_as_the_settings_say(client, settings, tiny, admin_client):
    strangers._window.cache_clear()
    settings.SAEVIZ_PROMPT_RATE = 2
    address, stranger = "/saes/tiny/prompt/?text=&format=json", {"REMOTE_ADDR": "192.0.2.1"}
    assert [client.get(address, **stranger).status_code for _ in range(3)] == [400, 400, 429]
    assert (
        "2 questions to the model a minute"
        in client.get("/saes/tiny/features/1/try/?text=a", **stranger).json()["error"]
    )
    assert client.get(address, REMOTE_ADDR="192.0.2.2").status_code == 400
    of_one_subscriber = [f"2001:db8::{n}" for n in (1, 2, 3)]
    assert [client.get(address, REMOTE_ADDR=own).status_code for own in of_one_subscriber] == [400, 400, 429]
    assert client.get(address).status_code == admin_client.get(address, **stranger).status_code == 400
    assert client.get(address, headers={"X-Forwarded-For": "x"}).status_code == 400  # the first of an hour, so counted
    settings.SAEVIZ_PROMPTS = "users"
    assert client.get(address, REMOTE_ADDR="192.0.2.2").status_code == 403
    assert "logged in" in client.get(address, headers={"X-Forwarded-For": "x"}).json()["error"]
    assert admin_client.get(address, **stranger).status_code == 400


@pytest.mark.django_db
def test_strangers_ask_patterns_as_often_as_the_settings_say(client, settings, tiny, admin_client):
    strangers._window.cache_clear()
    settings.SAEVIZ_ASK_RATE, stranger = 2, {"REMOTE_ADDR": "192.0.2.1"}
    addresses = ["ask.json?q=a", "features/1/explained.json?q=a", "ask.json?q=a", "ask/?q=a", "ask.progress?q=a"]
    answers = [client.get(f"/saes/tiny/{address}", **stranger) for address in addresses]
    assert [answer.status_code for answer in answers] == [404, 404, 429, 429, 429]
    assert "2 patterns a minute" in answers[2].json()["error"] and "2 patterns a minute" in answers[3].content.decode()
    assert client.get("/saes/tiny/ask/", **stranger).status_code == 200
    settings.SAEVIZ_PROMPTS = "users"
    assert client.get("/saes/tiny/ask/near.json?q=a&feature=1&load=1", **stranger).status_code == 403
    texts = {"having": "a", "lacking": "b", "format": "json"}
    assert client.get("/saes/tiny/ask/examples/", texts, **stranger).status_code == 403
    assert admin_client.get("/saes/tiny/ask/examples/", texts, **stranger).status_code == 400


def test_data_of_an_earlier_version_is_closed_to_others_and_nothing_else_is(tmp_path):
    data = tmp_path / "data"
    (data / "corpora").mkdir(parents=True, mode=0o755)
    (data / "checkpoints").mkdir(mode=0o755)
    files = [data / "saeviz.sqlite3", data / "redis.rdb", data / "corpora" / "a.npy", data / "checkpoints" / "theirs"]
    for path in files:
        path.touch()
        path.chmod(0o644)
    data.chmod(0o755)
    paths.close_to_others(data, everything=True)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, *files)] == [0o700, 0o600, 0o600, 0o600, 0o644]
    data.chmod(0o1777)
    paths.close_to_others(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o1777
    (tmp_path / "made").touch()
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600  # what is written from now on


# Below a path


@pytest.fixture
def below_sae(settings):
    settings.FORCE_SCRIPT_NAME, settings.STATIC_URL = "/sae", "/sae/static/"
    yield
    set_script_prefix("/")


@pytest.mark.django_db
@pytest.mark.parametrize("asked", ["/sae", ""])
def test_below_a_path_every_address_has_it_whether_the_proxy_takes_it_off_or_not(client, below_sae, tiny, asked):
    page = client.get(f"{asked}/").content.decode()
    addresses = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
    assert len(addresses) > 3 and all(address.startswith("/sae/") for address in addresses)
    assert client.get(f"{asked}/saes/tiny/").status_code == 200
    url = client.get(f"{asked}/admin/").url
    assert urljoin("/sae/admin/", url) == "/sae/admin/login/?next=/sae/admin/"
    assert url.startswith("./" if not asked else "/sae/")  # proxies that take a path off may put it in front again
    assert client.get("/sae").url == "/sae/"


@pytest.mark.parametrize("path", ["/sae/", "/sae/a", "/sae/a/b/", "/sae/a/b/c"])
@pytest.mark.parametrize("address", ["/sae/", "/sae/a", "/sae/a/b/?q=/x/../y&n=1#z", "/sae/a:b/"])
def test_a_relative_redirect_leads_to_the_same_place(path, address):
    assert urljoin(path, prefix.relative(address, path)) == address


@pytest.mark.parametrize(
    "name, said, found",
    [
        ("SAEVIZ_PREFIX", " sae/ ", "/sae"),
        ("SCRIPT_NAME", "/a/b", "/a/b"),
        ("SCRIPT_NAME", "/", ""),
        ("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/", "/user/ada/proxy/8000"),
    ],
)
def test_the_path_is_what_is_set_or_what_jupyterhub_gives(monkeypatch, name, said, found):
    for each in ("SAEVIZ_PREFIX", "SCRIPT_NAME", "PORT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, said)
    assert env.prefix() == found
    assert ("/user/ada/proxy/8000/" in hosts.in_a_hub()) == (name == "JUPYTERHUB_SERVICE_PREFIX")


def test_where_neither_home_nor_checkout_can_be_written_caches_lie_in_the_data_folder(monkeypatch, tmp_path):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HF_HOME", "TRITON_HOME"):
        monkeypatch.setenv(name, "unset after the test")
        monkeypatch.delenv(name)
    paths.keep_caches(tmp_path)
    assert "NUMBA_CACHE_DIR" not in os.environ  # beside the code, as ever
    monkeypatch.setattr(paths.os, "access", lambda path, mode: False)
    paths.keep_caches(tmp_path)
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "cache" / "numba")
    assert os.environ["HF_HOME"].startswith(str(tmp_path))


def test_a_pooler_that_changes_connections_finds_no_cursor_left_open():
    assert database.configuration("postgres://u@h/d", paths.ROOT)["DISABLE_SERVER_SIDE_CURSORS"]

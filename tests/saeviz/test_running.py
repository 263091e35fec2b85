"""`make run` as its user meets it: refusals in one line, a site that answers, nothing left after Ctrl-C."""

import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request

import pytest

from saeviz import env
from saeviz.running import first_start, hosts, paths, preflight, prepared
from tests.features import checkpoints

from .processes import Started, free_port, needs_proc, within

pytestmark = [pytest.mark.service, needs_proc]

RUN = ("-m", "saeviz.running")
FEW = {"SAEVIZ_RUN_TOKENS": "1000"}  # that the demo's checkpoints are read on, when all else is done


def refusal(tmp_path, **environment):
    """What a start that cannot succeed says. It must have started nothing, and said it in one line."""
    started = Started(tmp_path / "output", *RUN, **{"DATA_DIR": str(tmp_path / "data"), **environment})
    try:
        assert started.process.wait(timeout=60) == 1
        assert not started.alive()
        (line,) = started.says().splitlines()
        return line
    finally:
        started.end()


def test_a_taken_port_is_one_line_with_the_way_out(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refusal(tmp_path, PORT=str(port))
    assert line.startswith(f"Cannot use 127.0.0.1:{port} (Address already in use).")
    assert line.endswith(f"make run PORT={port + 1}")


def test_a_folder_that_cannot_be_written_is_one_line_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    line = refusal(tmp_path, DATA_DIR=str(tmp_path / "file" / "data"))
    assert "Cannot write to" in line and "Not a directory" in line and "make run DATA_DIR=" in line


def test_a_second_start_on_the_same_data_says_where_the_first_is(tmp_path):
    (tmp_path / "data").mkdir()
    held = preflight.lock(tmp_path / "data")
    preflight.sign(held, "process 123, http://127.0.0.1:8000")
    line = refusal(tmp_path, PORT=str(free_port()))
    assert "already runs on" in line and "process 123, http://127.0.0.1:8000" in line


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "-1"])
def test_a_port_that_is_none_is_named(port):
    with pytest.raises(preflight.PreflightError, match=f"PORT={port} is not a port number"):
        preflight.port_number(port)


def test_another_machines_address_is_refused():
    with pytest.raises(preflight.PreflightError, match="Cannot use 192.0.2.1:8000"):
        preflight.listen("192.0.2.1", 8000)


@pytest.mark.parametrize("said", ["many", "0", "-5", "1e6", "500,000"])
def test_a_setting_that_is_no_number_is_one_line_with_what_fits(tmp_path, said):
    line = refusal(tmp_path, SAEVIZ_TOKENS=said)
    assert line.startswith(f"SAEVIZ_TOKENS={said} does not fit. Give a whole number from 1 on")
    assert line.endswith("left out, it is 500000.")


@pytest.mark.parametrize("command", ["check", "load_demo"])
def test_a_command_says_the_same_in_one_line(tmp_path, command):
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "SAEVIZ_ATTEMPTS": "three"}
    run = [sys.executable, "manage.py", command]
    said = subprocess.run(run, cwd=paths.ROOT, env=environment, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (1, "")
    (line,) = said.stderr.splitlines()
    assert line.startswith("SAEVIZ_ATTEMPTS=three does not fit.")


def test_a_number_left_empty_is_the_default(monkeypatch):
    monkeypatch.setenv("SAEVIZ_TOKENS", "")
    assert env.number("SAEVIZ_TOKENS") == 500_000
    monkeypatch.setenv("SAEVIZ_TOKENS", " 70000 ")
    assert env.number("SAEVIZ_TOKENS") == 70_000


@pytest.mark.parametrize("said", ["half", "1.5", "-0.1", "nan"])
def test_a_share_lies_between_0_and_1(monkeypatch, said):
    monkeypatch.setenv("SAEVIZ_COMMON_DIRECTION", "0.35")
    assert env.share("SAEVIZ_COMMON_DIRECTION") == 0.35
    monkeypatch.setenv("SAEVIZ_COMMON_DIRECTION", said)
    with pytest.raises(env.InvalidSetting, match=f"SAEVIZ_COMMON_DIRECTION={said} does not fit. Give a number from 0"):
        env.share("SAEVIZ_COMMON_DIRECTION")


def test_what_may_be_nothing_is_let_pass(monkeypatch):
    for name in ("SAEVIZ_MAX_UPLOAD", "SAEVIZ_KEPT_BYTES"):
        monkeypatch.setenv(name, "0")
    preflight.check_settings()
    assert env.number("SAEVIZ_KEPT_BYTES") == 0


# Under which names it answers


@pytest.mark.parametrize(
    "host, names", [("", []), ("0.0.0.0", []), ("192.0.2.7", ["192.0.2.7"]), ("fe80::1", ["[fe80::1]"])]
)
def test_it_answers_to_this_machine_and_to_the_address_it_listens_on(monkeypatch, host, names):
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("ALLOWED_HOSTS", "")
    assert hosts.allowed() == ["localhost", "127.0.0.1", "[::1]", *names]


def test_names_that_are_given_are_the_only_ones(monkeypatch):
    monkeypatch.setenv("HOST", "192.0.2.7")
    monkeypatch.setenv("ALLOWED_HOSTS", "box.example, localhost,")
    assert hosts.allowed() == ["box.example", "localhost"]


def test_who_listens_everywhere_is_told_what_is_missing_and_an_address_that_works(monkeypatch):
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    assert "make run HOST=0.0.0.0 ALLOWED_HOSTS=" in hosts.remark("0.0.0.0")
    assert hosts.remark("127.0.0.1") == hosts.remark("192.0.2.7") == ""
    assert hosts.address("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert hosts.address("::", 8000) == "http://[::1]:8000"
    monkeypatch.setenv("ALLOWED_HOSTS", "box.example")
    assert hosts.remark("0.0.0.0") == ""


def test_a_name_it_was_not_told_of_is_answered_with_the_way_out(client):
    answer = client.get("/", headers={"host": "box.example"})
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS=localhost,that-name" in answer.content.decode()


# What a later start need not do


def test_a_later_start_prepares_nothing_until_something_is_new(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "saeviz.sqlite3").touch()
    assert not prepared.is_prepared(tmp_path)
    prepared.mark(tmp_path)
    assert prepared.is_prepared(tmp_path)
    monkeypatch.setattr(prepared, "MIGRATIONS", "features/management/commands")
    assert not prepared.is_prepared(tmp_path)


def test_a_deleted_database_is_prepared_again(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    prepared.mark(tmp_path)
    assert not prepared.is_prepared(tmp_path)


def test_a_database_elsewhere_is_looked_at_on_every_start(tmp_path, monkeypatch):
    (tmp_path / "saeviz.sqlite3").touch()
    prepared.mark(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgres://localhost/saeviz")
    assert not prepared.is_prepared(tmp_path)


# The administrator


def test_data_that_was_moved_is_prepared_again(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    (before / "saeviz.sqlite3").touch()
    prepared.mark(before)
    before.rename(after)
    assert not prepared.is_prepared(after)


@pytest.mark.django_db
def test_the_administrators_password_is_for_the_owner_only_and_made_once(tmp_path, django_user_model):
    first_start.make_administrator(tmp_path)
    path = tmp_path / "admin_password"
    password = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert django_user_model.objects.get(username="admin").check_password(password)
    user = django_user_model.objects.get(username="admin")
    user.set_password("my own")
    user.save()
    first_start.make_administrator(tmp_path)
    user.refresh_from_db()
    assert user.check_password("my own") and path.read_text().strip() == password


@pytest.mark.django_db
def test_a_site_that_has_an_administrator_gets_no_second_one(tmp_path, django_user_model):
    django_user_model.objects.create_superuser("ada", password="x")
    first_start.make_administrator(tmp_path)
    assert django_user_model.objects.count() == 1 and not (tmp_path / "admin_password").exists()


# The real thing


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site in an empty data folder, shared by the tests below in their order."""
    folder = tmp_path_factory.mktemp("run")
    port = free_port()
    started = Started(
        folder / "output", *RUN, DATA_DIR=str(folder / "data"), PORT=str(port), SAEVIZ_TOKENS="2000", **FEW
    )
    started.address = f"http://127.0.0.1:{port}/"
    started.data = folder / "data"
    yield started
    started.end()


def get(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_one_command_and_the_site_the_worker_and_redis_are_there(site):
    assert within(120, lambda: f"saeviz is at {site.address[:-1]}" in site.says()), site.says()
    status, page = get(site.address)
    assert status == 200 and "saeviz" in page
    assert within(60, lambda: site.alive("celery")) and site.alive("redis-server") and site.alive("saeviz.serving")
    assert paths.redis_socket(site.data).is_socket()


def test_the_demo_arrives_and_its_statistics_are_asked_for(site):
    assert within(120, lambda: "are queued" in site.says()), site.says()
    assert within(60, lambda: prepared.is_prepared(site.data))
    assert "gelu-1l-mini" in get(site.address)[1]


def test_a_worker_killed_for_its_memory_comes_back(site):
    before = site.alive("celery")
    for number in before:
        os.kill(number, signal.SIGKILL)
    assert within(60, lambda: "The worker ended (SIGKILL); it starts again in 1 s." in site.says()), site.says()
    assert within(60, lambda: set(site.alive("celery")) - set(before))
    assert get(site.address)[0] == 200


def test_ctrl_c_leaves_no_process_and_a_free_port(site):
    site.process.send_signal(signal.SIGINT)
    assert site.process.wait(timeout=60) == 0
    assert within(20, lambda: not site.alive())
    assert not paths.redis_socket(site.data).exists()
    assert "Traceback" not in site.says()


def test_an_own_sae_is_imported_once_the_site_is_there(site, tmp_path):
    """On the data of the start before, which is over."""
    files = checkpoints.write(tmp_path / "own")
    port = free_port()
    given = {"DATA_DIR": str(site.data), "PORT": str(port), "SAEVIZ_TOKENS": "300", **FEW}
    own = {"SAE": files.sae, "MODEL": files.model, "CORPUS": files.text}
    started, address = Started(site.output.with_name("again"), *RUN, **given, **own), f"http://127.0.0.1:{port}/"
    try:
        assert within(120, lambda: "its statistics are job " in started.says()), started.says()
        assert f"Its page: {address}saes/own-run1/" in started.says() and "Self-check on" in started.says()
        shown = "/features/random/"
        assert within(120, lambda: shown in get(address + "saes/own-run1/")[1]), started.says()
        assert get(address + "saes/own-run1/features/0/")[0] == 200
        assert "gelu-1l-mini" in get(address)[1]
    finally:
        started.end()


@pytest.mark.django_db
def test_an_own_sae_that_cannot_be_read_leaves_the_site_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAE", "/nowhere")
    monkeypatch.setattr(prepared, "is_prepared", lambda data: False)
    loaded = []
    monkeypatch.setattr(first_start, "prepare_demo", loaded.append)
    first_start.import_own(tmp_path)
    told = capsys.readouterr().out
    assert "Nothing was imported. /nowhere does not exist." in told and "make run SAE=/nowhere MODEL=..." in told
    assert loaded == [tmp_path]  # the demo, as if nothing had been asked for

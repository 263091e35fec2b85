"""A file of the hub comes whole, once, and where it broke off."""

import pytest

from features.importing import hub
from tests.hub import Hub

CONTENT = bytes(range(256)) * 20000


@pytest.fixture
def served(tmp_path, monkeypatch):
    (tmp_path / "served/owner/name").mkdir(parents=True)
    (tmp_path / "served/owner/name/big.pt").write_bytes(CONTENT)
    monkeypatch.setattr(hub, "PAUSE", 0)
    here = Hub(tmp_path / "served")
    with here.open() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield here


def test_a_download_that_breaks_goes_on_where_it_broke(served, tmp_path):
    served.breaks_after = 1_000_000
    assert hub.fetch("owner/name", "big.pt", tmp_path / "data").read_bytes() == CONTENT
    assert [wanted for _, wanted in served.asked] == [None, "bytes=1000000-"]


def test_a_run_that_was_stopped_goes_on_in_the_next_one(served, tmp_path):
    def stop(received):
        if received.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch("owner/name", "big.pt", tmp_path, stop)
    assert hub.fetch("owner/name", "big.pt", tmp_path).read_bytes() == CONTENT
    assert served.asked[-1][1].startswith("bytes=")


def test_what_is_here_is_not_asked_for_again(served, tmp_path):
    for _ in range(2):
        hub.fetch("owner/name", "big.pt", tmp_path)
    assert len(served.asked) == 1


def test_a_file_that_changed_on_disk_is_fetched_anew(served, tmp_path):
    file = hub.fetch("owner/name", "big.pt", tmp_path)
    file.write_bytes(CONTENT[:-1] + b"!")
    assert hub.fetch("owner/name", "big.pt", tmp_path).read_bytes() == CONTENT


def test_a_wrong_beginning_is_noticed_by_its_checksum(served, tmp_path):
    served.breaks_after = 1_000_000
    whole = hub.ATTEMPTS
    hub.ATTEMPTS = 1
    try:
        with pytest.raises(hub.HubError, match="1,000,000 bytes are kept"):
            hub.fetch("owner/name", "big.pt", tmp_path)
    finally:
        hub.ATTEMPTS = whole
    part = tmp_path / "owner/name/big.pt.part"
    part.write_bytes(b"x" * 1_000_000)
    with pytest.raises(hub.HubError, match="SHA-256"):
        hub.fetch("owner/name", "big.pt", tmp_path)
    assert not part.exists()


def test_progress_ends_with_all_bytes(served, tmp_path):
    told = []
    hub.fetch("owner/name", "big.pt", tmp_path, told.append)
    assert told[-1].done == told[-1].total == len(CONTENT)
    assert str(told[0]) == "big.pt: asking the hub" and str(told[-1]).startswith("big.pt: 5.1 of 5.1 MB, ")


def test_every_block_is_told_as_it_comes_and_a_hub_that_does_not_answer_is_asked_again(served, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "TOLD_EVERY", 0)
    told = []
    served.breaks_after = 300_000
    hub.fetch("owner/name", "big.pt", tmp_path, told.append)
    done = [received.done for received in told]
    assert len(done) > 4 and [received.total for received in told].count(0) == done.count(0) == 2  # two connections
    again = done.index(0, 1)
    assert done[:again] == sorted(done[:again]) and done[again - 1] == 300_000 < done[again + 1]


def test_no_such_file_is_said(served, tmp_path):
    with pytest.raises(hub.HubError, match="404"):
        hub.fetch("owner/name", "small.pt", tmp_path)


def test_no_network_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "PAUSE", 0)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(hub.HubError, match="Is there a network"):
        hub.fetch("owner/name", "big.pt", tmp_path)


def test_a_full_disk_is_said_before_anything_is_written(served, monkeypatch, tmp_path):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 5}))
    with pytest.raises(hub.HubError, match="has 5 left"):
        hub.fetch("owner/name", "big.pt", tmp_path)

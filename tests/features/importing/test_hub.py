"""A file of the hub comes whole, once, and where it broke off; who may not have it is told why and what to do."""

import logging

import pytest
from huggingface_hub import constants

from features.importing import hub, hub_transfer
from tests.hub import Hub, Request

NAME = "owner/name"
CONTENT = bytes(range(256)) * 20000
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "served/owner/name").mkdir(parents=True)
    (tmp_path / "served/owner/name/big.pt").write_bytes(CONTENT)
    monkeypatch.setattr(hub, "PAUSE", 0)
    return tmp_path / "served"


@pytest.fixture
def served(root, monkeypatch):
    with Hub(root).used(monkeypatch) as here:
        yield here


@pytest.fixture
def stored(root, monkeypatch):
    """The same, where another host has the bytes."""
    with Hub(root, storage=True).used(monkeypatch) as here:
        yield here


def fetch(tmp_path, name="big.pt", progress=None, repository=NAME):
    return hub.fetch_file(repository, name, tmp_path / "data", progress).read_bytes()


def refused(tmp_path, name="big.pt", repository=NAME):
    """The sentence; nothing was written."""
    with pytest.raises(hub.HubError) as refusal:
        fetch(tmp_path, name, repository=repository)
    assert not [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    return str(refusal.value)


def test_a_download_that_breaks_goes_on_where_it_broke(served, tmp_path):
    served.breaks_after = 1_000_000
    assert fetch(tmp_path) == CONTENT
    assert [wanted for _, wanted in served.asked] == [None, "bytes=1000000-"]


def test_a_run_that_was_stopped_goes_on_in_the_next_one(served, tmp_path):
    def stop(received):
        if received.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, progress=stop)
    assert fetch(tmp_path) == CONTENT
    assert served.asked[-1][1].startswith("bytes=")


def test_what_is_here_is_not_asked_for_again(served, tmp_path):
    for _ in range(2):
        fetch(tmp_path)
    assert len(served.asked) == 1


def test_a_file_that_changed_on_disk_is_fetched_anew(served, tmp_path):
    file = hub.fetch_file(NAME, "big.pt", tmp_path / "data")
    file.write_bytes(CONTENT[:-1] + b"!")
    assert fetch(tmp_path) == CONTENT


def test_a_wrong_beginning_is_noticed_by_its_checksum(served, tmp_path):
    served.breaks_after = 1_000_000
    whole = hub.ATTEMPTS
    hub.ATTEMPTS = 1
    try:
        with pytest.raises(hub.HubError, match="1,000,000 bytes are kept"):
            fetch(tmp_path)
    finally:
        hub.ATTEMPTS = whole
    part = tmp_path / "data/owner/name/big.pt.part"
    part.write_bytes(b"x" * 1_000_000)
    with pytest.raises(hub.HubError, match="SHA-256"):
        fetch(tmp_path)
    assert not part.exists()


def test_progress_ends_with_all_bytes(served, tmp_path):
    told = []
    fetch(tmp_path, progress=told.append)
    assert told[-1].done == told[-1].total == len(CONTENT)
    assert str(told[0]) == "big.pt: asking the hub" and str(told[-1]).startswith("big.pt: 5.1 of 5.1 MB, ")


def test_every_block_is_told_as_it_comes_and_a_hub_that_does_not_answer_is_asked_again(served, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_transfer, "TOLD_EVERY", 0)
    told = []
    served.breaks_after = 300_000
    fetch(tmp_path, progress=told.append)
    done = [received.done for received in told]
    assert len(done) > 4 and [received.total for received in told].count(0) == done.count(0) == 2  # two connections
    again = done.index(0, 1)
    assert done[:again] == sorted(done[:again]) and done[again - 1] == 300_000 < done[again + 1]


def test_a_full_disk_is_said_before_anything_is_written(served, monkeypatch, tmp_path):
    monkeypatch.setattr(hub_transfer.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 5}))
    sentence = refused(tmp_path)
    assert "big.pt needs 5,120,000 bytes, " in sentence and "data/owner/name has 5. Make room." in sentence


def test_a_hub_that_is_busy_is_asked_again(served, tmp_path):
    served.busy = 2
    assert fetch(tmp_path) == CONTENT
    assert [request.method for request in served.requests] == ["HEAD", "HEAD", "HEAD", "GET"]


def test_what_is_not_there_is_said(served, tmp_path):
    address = hub.endpoint()
    lists = f"{address}/owner/name/tree/main lists what there is."
    assert refused(tmp_path, "small.pt") == f"owner/name has no file small.pt; was it renamed? {lists}"
    private = "private: then set HF_TOKEN, or run `hf auth login`"
    missing = f"{address} has no owner/nobody, or it is {private}. Is the name right?"
    assert refused(tmp_path, repository="owner/nobody") == missing
    assert refused(tmp_path, repository="owner/no--body").startswith("No repository of a hub can be called owner/no--b")
    assert "lists ../../big.pt, which would lie elsewhere" in refused(tmp_path, "../../big.pt")


def test_a_gated_repository_says_that_it_is_and_what_to_do(served, tmp_path):
    served.gated = {NAME}
    way_out = f"Accept them at {hub.endpoint()}/owner/name, then set HF_TOKEN to a token of that account"
    sentence = "owner/name is gated: only who has accepted its terms may read it."
    assert refused(tmp_path) == f"{sentence} {way_out}, or log in with `hf auth login`."


def test_a_token_opens_a_gated_repository_once_its_account_is_let_in(served, tmp_path, monkeypatch):
    served.gated, served.tokens = {NAME}, {TOKEN}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    way_out = f"Accept its terms at {hub.endpoint()}/owner/name; some owners let in by hand."
    whose = "the account whose token was sent is not let in"
    assert refused(tmp_path) == f"owner/name is gated, and {whose}. {way_out}"
    served.let_in = {TOKEN}
    assert fetch(tmp_path) == CONTENT
    path = "/owner/name/resolve/main/big.pt"
    assert served.requests[-2:] == [Request(how, path, f"Bearer {TOKEN}") for how in ("HEAD", "GET")]


def test_the_token_of_a_login_is_sent_and_a_private_repository_is_hidden_without(served, tmp_path, monkeypatch):
    served.private, served.tokens, served.let_in = {NAME}, {TOKEN, "other"}, {TOKEN}
    assert "has no owner/name, or it is private: then set HF_TOKEN" in refused(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "other")
    assert "has no owner/name, or it is hidden from the token that was sent." in refused(tmp_path)
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert hub.list_repo(NAME, tmp_path / "data").sizes == {"big.pt": len(CONTENT)}
    assert fetch(tmp_path) == CONTENT


def test_a_token_never_goes_to_the_host_where_files_lie(stored, tmp_path, monkeypatch):
    stored.gated, stored.tokens, stored.let_in = {NAME}, {TOKEN}, {TOKEN}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    stored.breaks_after = 1_000_000
    assert fetch(tmp_path) == CONTENT
    assert [request.token for request in stored.requests] == [f"Bearer {TOKEN}"] * 2
    assert [(request.method, request.token) for request in stored.at_storage] == [("GET", None)] * 2
    assert [wanted for _, wanted in stored.asked] == [None, "bytes=1000000-"]


def test_a_file_that_lies_elsewhere_is_checked_by_what_the_hub_says_of_it(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "content_at_storage", lambda path: CONTENT[:-1] + b"!")
    with pytest.raises(hub.HubError, match="big.pt: the hub says SHA-256"):
        fetch(tmp_path)
    assert not (tmp_path / "data/owner/name/big.pt").exists()


@pytest.mark.parametrize("token", ["hf_unknown", "hf_sec\tret", "hf_secr\u00e9t"])
def test_a_token_that_is_none_is_refused_and_told_to_nobody(served, tmp_path, monkeypatch, caplog, token):
    monkeypatch.setenv("HF_TOKEN", token)
    caplog.set_level(logging.DEBUG)
    sentence = refused(tmp_path)
    unknown = f"{hub.endpoint()} does not accept the token that was sent, that of HF_TOKEN or of `hf auth login`. Make"
    unsendable = "The token of HF_TOKEN, or of `hf auth login`, has characters that no token has. Copy it anew."
    assert sentence.startswith(unknown if token == "hf_unknown" else unsendable)
    assert "hf_" not in sentence + caplog.text


def test_without_a_network_it_is_said_and_what_was_listed_is_known(served, tmp_path, monkeypatch):
    listing = hub.list_repo(NAME, tmp_path / "data")
    assert (listing.sizes, listing.licence) == ({"big.pt": len(CONTENT)}, "cc0-1.0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.list_repo(NAME, tmp_path / "data") == listing
    with pytest.raises(hub.HubError, match=r"^http://127.0.0.1:9 does not answer \(.*refused\). Is there a network\?"):
        hub.list_repo("owner/other", tmp_path / "data")
    gone = r"^owner/name/big.pt: http://127.0.0.1:9 does not answer \(.*\) \(4 attempts\). Is there a network"
    with pytest.raises(hub.HubError, match=gone):
        fetch(tmp_path)


def test_offline_nobody_is_asked_and_what_is_here_is_used(served, tmp_path, monkeypatch):
    here = hub.list_repo(NAME, tmp_path / "data"), fetch(tmp_path)
    before = len(served.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert (hub.list_repo(NAME, tmp_path / "data"), fetch(tmp_path)) == here
    sentence = "HF_HUB_OFFLINE is set, and {} was not downloaded before. Unset it, and run it again with a network."
    for what, ask in (
        ("owner/name/small.pt", lambda: fetch(tmp_path, "small.pt")),
        ("owner/other", lambda: hub.list_repo("owner/other", tmp_path / "data")),
    ):
        with pytest.raises(hub.HubError) as refusal:
            ask()
        assert str(refusal.value) == sentence.format(what)
    assert len(served.requests) == before

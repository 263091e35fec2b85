"""Is what somebody found in an SAE read with care, and shown where a reader starts?"""

import json
import os
import re

import pytest

from features import checks
from features.models import SAE
from features.storage import findings_file

from .. import shown
from ..browse.test_pages import text_of

STUNG = "<script>window.stung = 1</script>"
FOUND = {
    "features": [
        {
            "feature": 5,
            "name": f"Brackets {STUNG}",
            "sentence": "Fires on brackets.",
            "look_at": "The lowest interval.",
            "checks": [{"kind": "boosts", "token": "(", "rank": 3}],
        },
        {"feature": 2, "name": "Tabs", "sentence": "Fires on tabs.", "look_at": "All of it."},
    ],
    "prompts": [{"name": "Code & text", "text": "if a & b:", "position": 2, "sentence": "Which one reads “a”?"}],
}


@pytest.fixture
def sae(db, tmp_path):
    return shown.sae_in_a_folder(tmp_path)


@pytest.fixture
def write(sae):
    def write(found):
        file = findings_file.file_of(sae.path)
        file.write_text(found if isinstance(found, str) else json.dumps(found))
        write.times += 1
        os.utime(file, (write.times, write.times))  # within one tick of the clock, edits differ all the same
        return file

    write.times = 0
    return write


def test_home_and_the_saes_page_start_with_what_was_found(client, sae, write):
    write(FOUND)
    home, own = client.get("/"), client.get("/saes/tiny/")
    for page in (home, own):
        assert "/saes/tiny/features/5/" in page.content.decode()
        assert f"#5 Brackets {STUNG}" in text_of(page) and STUNG not in page.content.decode()
        assert "Fires on tabs." in text_of(page)
    assert "fires most on" not in text_of(home)  # the list made by figures gives way
    assert "Look at: The lowest interval." in text_of(own)
    assert "/saes/tiny/prompt/?text=if+a+%26+b%3A&amp;position=2&amp;rank=loss_effect" in own.content.decode()


def test_without_findings_home_starts_with_features_chosen_by_figures(client, sae):
    assert "fires most on" in text_of(client.get("/"))
    assert 'id="findings"' not in client.get("/saes/tiny/").content.decode()


def test_home_shows_eight_and_leads_to_the_rest(client, sae, write):
    entry = FOUND["features"][1]
    write({"features": [entry | {"feature": index, "name": f"No. {index}"} for index in range(10)]})
    read = text_of(client.get("/"))
    assert "No. 7" in read and "No. 8" not in read and "All 10 findings" in read
    assert "No. 9" in text_of(client.get("/saes/tiny/"))


def test_a_features_page_says_what_was_found_with_or_without_statistics(client, sae, write):
    write({"features": [FOUND["features"][0], FOUND["features"][1] | {"feature": 11}]})
    told = [client.get(f"/saes/tiny/features/{index}.json").json()["finding"] for index in (5, 11, 4)]
    assert told[0] == {name: FOUND["features"][0][name] for name in ("name", "sentence", "look_at")}
    assert told[1]["name"] == "Tabs" and told[2] is None


def test_the_table_labels_features_where_anything_was_found(client, sae, write):
    assert "Tabs" not in text_of(client.get("/saes/tiny/features/"))
    write(FOUND)
    read = text_of(client.get("/saes/tiny/features/"))
    assert "Label" in read and re.search(r"#2 [^#]* Tabs ★", read) and f"Brackets {STUNG}" in read


def test_an_edited_file_is_read_anew_and_a_removed_one_is_gone(sae, write):
    write(FOUND)
    assert findings_file.findings_of(sae).names[2] == "Tabs"
    file = write(json.dumps(FOUND).replace('"Tabs"', '"Indents"'))
    assert findings_file.findings_of(sae).names[2] == "Indents"
    file.unlink()
    assert findings_file.findings_of(sae) == findings_file.NOTHING


def test_a_checkpoint_of_one_file_has_its_findings_beside_it(tmp_path):
    (tmp_path / "25.pt").touch()
    assert findings_file.file_of(tmp_path / "25.pt") == tmp_path / "25.findings.json"
    assert findings_file.file_of(tmp_path) == tmp_path / "findings.json"


@pytest.mark.parametrize(
    "found, said",
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ([], 'the file needs {"features"'),
        ({"features": {}}, "features needs a list of at most 500 objects"),
        ({"features": [7]}, "features needs a list of at most 500 objects"),
        ({"features": [FOUND["features"][0] | {"feature": 12}]}, "features[0] needs a feature from 0 to 11"),
        ({"features": [FOUND["features"][0] | {"feature": True}]}, "features[0] needs a feature"),
        ({"features": [FOUND["features"][0] | {"feature": -1}]}, "features[0] needs a feature"),
        ({"features": [FOUND["features"][0]] * 2}, "features needs each feature once"),
        ({"features": [FOUND["features"][0] | {"name": ""}]}, "features[0] needs a name of 1 to 1,000"),
        ({"features": [FOUND["features"][0] | {"sentence": "x" * 1001}]}, "features[0] needs a sentence"),
        ({"features": [FOUND["features"][0] | {"look_at": None}]}, "features[0] needs a look_at"),
        ({"features": [FOUND["features"][0] | {"checks": [{"kind": "x"}]}]}, 'features[0]: a check has a "kind"'),
        ({"prompts": [FOUND["prompts"][0] | {"position": "2"}]}, "prompts[0] needs a position"),
        ({"prompts": [FOUND["prompts"][0] | {"rank": "best"}]}, "prompts[0] needs a rank, one of act_size"),
        ({"prompts": [FOUND["prompts"][0] | {"expect": [{"feature": 1}]}]}, "prompts[0] needs expectations made of"),
        (" " * 1_000_001, "has 1,000,001 bytes; a file of settings has at most 1,000,000"),
    ],
)
def test_what_cannot_be_read_is_told_by_a_check_and_shown_nowhere(client, sae, write, found, said):
    file = write(found)
    (told,) = checks.findings_can_be_read()
    assert said in told.msg and str(file) in told.msg and "docs/findings.md" in told.hint
    assert "fires most on" in text_of(client.get("/"))
    assert client.get("/saes/tiny/").status_code == client.get("/saes/tiny/features/5/").status_code == 200


def test_a_pipe_of_that_name_is_not_waited_for(client, sae):
    os.mkfifo(findings_file.file_of(sae.path))
    assert "is no plain file" in checks.findings_can_be_read()[0].msg
    assert client.get("/saes/tiny/").status_code == 200


def test_findings_in_order_are_not_complained_of(sae, write):
    assert checks.findings_can_be_read() == []
    write(FOUND)
    assert checks.findings_can_be_read() == []


def test_the_sae_with_findings_is_the_one_to_start_with(client, sae, write, tmp_path):
    shown.shown_sae(tmp_path, slug="another")
    SAE.objects.filter(slug="another").update(created="2020-01-01T00:00Z")  # the first in the list
    write(FOUND)
    assert "What somebody has found in Tiny:" in text_of(client.get("/"))

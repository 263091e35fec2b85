"""What was said of a feature's counterpart stands beside it, marked, until somebody confirms or rejects it."""

import numpy as np
import pytest

from features.engine.training.dictionary_match import PAIR
from features.models import SAE, Comparison, Judgement

from .. import shown
from ..browse.test_pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(tmp_path):
    """Another SAE; its feature 4 is matched with 1 of the one that is read, its feature 5 is so by decoder alone."""
    shown.shown_sae(tmp_path)
    other = shown.shown_sae(tmp_path, "early", name="Step 40,000", checkpoint_hash="beef")
    pairs = np.zeros(12, PAIR)
    pairs["activity"], pairs["decoder"] = -1, -1
    pairs[4] = (1, 0.83, True, 1, 0.7, 0.2, True)
    pairs[5] = (2, 0.9, True, 7, 0.7, 0.2, True)
    sides = {"sae": other, "other": SAE.objects.get(slug="tiny")}
    about = {"weights": [each.checkpoint_hash for each in sides.values()], "statistics": []}
    figures = {"decoder_chance": 0.31}
    Comparison.objects.create(**sides, state="done", pairs=pairs.tobytes(), figures=figures, about=about)
    for index in (4, 5):
        said = {"label": f"<b>sqlite</b> {index}", "tags": ["code"], "note": "on names", "grade": "clear"}
        Judgement.objects.create(weights="beef", width=12, index=index, author="ann", **said)
    return other


def test_a_label_travels_to_the_matched_feature_alone_until_it_is_confirmed(client, there):
    address = "/saes/tiny/labels/1.json"
    (row,) = client.get(address).json()["inherited"]
    assert row["whence"] == "inherited from Step 40,000, cosine 0.83, chance 0.31"
    assert (row["label"], row["address"]) == ("<b>sqlite</b> 4", "/saes/early/features/4/")
    assert client.get("/saes/tiny/labels/2.json").json()["inherited"] == []  # by decoder only
    page = client.get("/saes/tiny/features/?labelled=inherited").content.decode()
    assert "&lt;b&gt;sqlite" in page and "<b>sqlite" not in page and "cosine 0.83, chance 0.31" in page
    assert "1 of" in text_of(client.get("/saes/tiny/features/?by=label&q=SQLITE")) or "#1" in page
    listed = b"".join(client.get("/saes/tiny/features.json?labelled=inherited").streaming_content).decode()
    assert "ann, inherited from Step 40,000" in listed
    assert "2 kept there, 1 inherited here" in text_of(client.get("/saes/tiny/labels/"))
    confirmed = {"changes": {"label": row["label"], "tags": row["tags"], "note": row["note"]}, "revision": 0}
    told = client.post(address, confirmed | {"taken_from": f"ann, {row['whence']}"}, "application/json").json()
    assert told["inherited"] == [] and told["own"]["taken_from"].startswith("ann, inherited from Step")
    assert "#1" not in text_of(client.get("/saes/tiny/features/?labelled=inherited")).split("Label")[-1]


def test_what_is_rejected_is_gone_from_table_and_search_and_can_be_taken_back(client, there):
    address = "/saes/tiny/labels/1.json"
    (row,) = client.get(address).json()["inherited"]
    source = {"weights": row["weights"], "feature": row["feature"]}
    rejected = client.post(address, {"reject": source}, "application/json").json()
    assert rejected["inherited"][0]["rejected_by"] == "local reader"
    assert "sqlite" not in client.get("/saes/tiny/features/").content.decode()
    client.post(address, {"take_back": source}, "application/json")
    assert "sqlite" in client.get("/saes/tiny/features/").content.decode()
    assert client.post(address, {"reject": {"weights": 3}}, "application/json").status_code == 400
    SAE.objects.filter(slug="early").update(checkpoint_hash="other")  # compared when it had other weights
    assert client.get(address).json()["inherited"] == []

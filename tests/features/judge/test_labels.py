"""Are labels kept for these weights, whose they are, and is nothing that anybody typed lost?"""

import csv
import io
import json
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile

from features.judge import keep, label_files, label_import, labels
from features.judge.reader import LOCAL, Reader
from features.models import SAE, Judgement, JudgementChange
from features.storage import findings_file

from .. import shown
from ..browse.test_feature_list import listed
from ..browse.test_pages import text_of

STUNG = "<img src=x onerror=alert(1)>"
OTHER = "deadbeef" * 8


@pytest.fixture
def sae(db, tmp_path):
    return shown.sae_in_a_folder(tmp_path)


@pytest.fixture
def ann(client, db):
    return get_user_model().objects.create_user("ann", password="x")


def post(client, index, revision=0, **changes):
    body = {"changes": changes, "revision": revision}
    return client.post(f"/saes/tiny/labels/{index}.json", json.dumps(body), "application/json")


def own(client, index):
    return client.get(f"/saes/tiny/labels/{index}.json").json()["own"]


def test_a_label_outlives_a_recomputation_and_the_sae_itself(client, sae):
    assert post(client, 2, label="  Brackets \n open ", grade="clear", tags=["code, syntax", "code"]).status_code == 200
    shown.store(sae, shown.Collected(size=shown.COMPUTED))
    SAE.objects.all().delete()
    again = shown.shown_sae(Path(sae.path), slug="again", path=sae.path)
    told = client.get(f"/saes/{again.slug}/labels/2.json").json()["own"]
    assert (told["label"], told["grade"], told["tags"]) == ("Brackets open", "clear", ["code", "syntax"])


def test_history_says_who_said_what(client, sae, ann):
    post(client, 2, label="tabs")
    post(client, 2, revision=1, label="indents", note="see the lowest interval")
    client.force_login(ann)
    post(client, 2, label="white space")
    told = client.get("/saes/tiny/labels/2.json").json()
    assert [(change["by"], change["said"]["label"]) for change in told["history"]] == [
        ("ann", "white space"),
        (LOCAL, "indents"),
        (LOCAL, "tabs"),
    ]
    assert told["own"]["label"] == "white space" and [other["author"] for other in told["others"]] == [LOCAL]


def test_two_windows_that_change_other_fields_both_count(client, sae):
    post(client, 2, label="tabs")
    assert post(client, 2, revision=1, grade="partly").status_code == 200
    assert post(client, 2, revision=1, note="from the other window").status_code == 200
    assert own(client, 2) | {"changed": None} == {
        "star": False,
        "label": "tabs",
        "note": "from the other window",
        "tags": [],
        "grade": "partly",
        "revision": 3,
        "changed": None,
        "taken_from": "",
    }


def test_two_windows_that_change_one_field_are_told_and_neither_is_lost(client, sae):
    post(client, 2, label="tabs")
    post(client, 2, revision=1, label="indents")
    clash = post(client, 2, revision=1, label="white space", star=True)
    assert clash.status_code == 409 and clash.json()["clash"] == ["label"]
    assert clash.json()["own"]["label"] == "indents" and not clash.json()["own"]["star"]
    assert "Neither is lost" in clash.json()["error"]
    assert post(client, 2, revision=clash.json()["own"]["revision"], label="white space").status_code == 200
    said = [change.said["label"] for change in JudgementChange.objects.all()]
    assert said == ["white space", "indents", "tabs"]


def test_where_other_machines_are_answered_one_has_to_sign_in(client, sae, ann, settings):
    settings.SAEVIZ_LOCAL_READER = False
    refused = post(client, 2, label="tabs")
    assert refused.status_code == 403 and "Sign in" in refused.json()["error"]
    told = client.get("/saes/tiny/labels/2.json").json()
    assert told["reader"] is None and told["sign_in"] == "/admin/login/?next=%2Fsaes%2Ftiny%2Ffeatures%2F2%2F"
    client.force_login(ann)
    assert post(client, 2, label="tabs").json()["reader"] == "ann"


def test_a_change_without_the_page_is_refused(sae):
    from django.test import Client

    stranger = Client(enforce_csrf_checks=True)
    assert post(stranger, 2, label="tabs").status_code == 403 and not Judgement.objects.exists()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"label": "x" * 201}, "The label has 201 characters; at most 200 are kept."),
        ({"note": "x" * 10_001}, "10,001 characters"),
        ({"tags": "a"}, "Tags are a list"),
        ({"tags": [str(i) for i in range(21)]}, "There are 21 tags; at most 20"),
        ({"grade": "great"}, "A grade is clear, partly, unclear or none, not 'great'."),
        ({"star": 1}, "A star is true or false"),
        ({"author": "ann"}, "A judgement has no author"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(client, sae, changes, said):
    answer = post(client, 2, **changes)
    assert answer.status_code == 400 and said in answer.json()["error"]
    assert not Judgement.objects.exists()


def test_numbers_beyond_the_last_and_bodies_that_are_none(client, sae):
    assert post(client, 12, label="x").status_code == 404
    for body in ("", "[", "[1]", '{"changes": 3, "revision": 0}', '{"changes": {}}', "[" * 100_000):
        assert client.post("/saes/tiny/labels/2.json", body, "application/json").status_code == 400


def test_the_table_shows_sorts_filters_and_searches_labels(client, sae, ann):
    post(client, 5, label="Brackets", star=True, grade="clear")
    post(client, 1, label="apples 100%", tags=["fruit"])
    Judgement.objects.create(
        weights=sae.checkpoint_hash, width=12, index=6, author="gpt", kind="machine", label="maybe"
    )
    client.force_login(ann)
    post(client, 2, label=f"commas {STUNG}", grade="partly")
    page = client.get("/saes/tiny/features/").content.decode()
    assert "Brackets" in page and STUNG not in page and "commas &lt;img" in page
    assert '<span class="machine">maybe</span> <span class="badge">machine</span>' in page
    assert listed(client, "?labelled=yes") == [1, 2, 5, 6] and listed(client, "?labelled=machine") == [6]
    assert listed(client, "?labelled=no") == [0, 3, 4, 7]
    assert listed(client, "?grade=partly") == [2] and listed(client, "?star=yes") == []  # stars are one's own
    client.logout()
    assert listed(client, "?star=yes") == [5]
    assert listed(client, "?q=bracket&by=label") == [5] and listed(client, "?q=FRUIT&by=label") == [1]
    assert listed(client, "?q=%25&by=label") == [1] and listed(client, "?q=';--&by=label") == []
    assert listed(client, "?sort=label") == [1, 5, 2, 6, 0, 3, 4, 7]
    assert listed(client, "?sort=-label") == [6, 2, 5, 1, 0, 3, 4, 7]
    assert listed(client, "?sort=-grade") == [5, 2, 0, 1, 3, 4, 6, 7]
    data = client.get("/saes/tiny/features/5.json?labelled=yes&sort=label").json()
    assert (data["previous"], data["next"], data["listed"]["number"], data["listed"]["total"]) == (1, 2, 2, 4)


def test_ones_own_label_comes_before_anothers_a_finding_and_a_machine(client, sae, ann):
    file = findings_file.file_of(sae.path)
    checks = [{"kind": "boosts", "token": "(", "rank": 3}]
    file.write_text(json.dumps({"features": [{"feature": i, "name": "found", "checks": checks} for i in (1, 2, 3)]}))
    for index, kind, author in (
        (1, "machine", "gpt"),
        (2, "person", "bob"),
        (3, "person", "bob"),
        (3, "person", "ann"),
    ):
        about = {"weights": sae.checkpoint_hash, "width": 12, "index": index, "author": author, "kind": kind}
        Judgement.objects.create(**about, label=f"of {author}")
    told = labels.labels_of(sae, Reader("ann", ann))
    assert {index: (label.text, label.whose) for index, label in told.items()} == {
        1: ("found", "findings.json"),
        2: ("of bob", "bob"),
        3: ("of ann", ""),
    }


def test_stars_of_a_browser_are_taken_once(client, sae):
    post(client, 2, star=True)
    answer = client.post("/saes/tiny/labels/stars.json", '{"stars": [2, 5, 99]}', "application/json")
    assert answer.json() == {"added": 1} and listed(client, "?star=yes") == [2, 5]


def exported(client, form="json", query=""):
    answer = client.get(f"/saes/tiny/labels.{form}{query}")
    assert f'filename="tiny.labels.{form}"' in answer["Content-Disposition"]
    return answer.content


def brought(client, content, author=""):
    file = SimpleUploadedFile("labels", content)
    answer = client.post("/saes/tiny/labels/import/", {"file": file, "author": author}, follow=True)
    return text_of(answer)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_labels_go_out_and_come_back_as_they_were(client, sae, form):
    post(client, 2, label=f'"=1+1", {STUNG}', note="two\nlines", tags=["a", "b"], grade="unclear", star=True)
    post(client, 5, label="日本")
    before, content = exported(client), exported(client, form)
    assert "2 labels stood here already, word for word." in brought(client, content)
    Judgement.objects.all().delete()
    assert "2 labels added." in brought(client, content)
    assert exported(client) == before and own(client, 2)["note"] == "two\nlines"


def test_an_import_stands_beside_and_overwrites_nothing(client, sae, ann):
    post(client, 2, label="mine")
    theirs = {"weights": sae.checkpoint_hash, "width": 12, "feature": 2, "author": LOCAL, "label": "theirs"}
    said = brought(client, json.dumps({"labels": [theirs]}).encode(), author="bob")
    assert "1 label added." in said and own(client, 2)["label"] == "mine"
    said = brought(client, json.dumps({"labels": [theirs | {"changed": "2020-01-01"}]}).encode())
    assert "yours stand, the file's beside" in said and own(client, 2)["label"] == "mine"
    said = brought(client, json.dumps([theirs | {"author": "bob", "label": "older", "changed": "2020-01-01"}]).encode())
    assert "1 label older than what is here" in said
    said = brought(client, json.dumps([theirs | {"author": "bob", "label": "new", "changed": "2999-01-01"}]).encode())
    assert "newer than an imported one" in said
    told = client.get("/saes/tiny/labels/2.json").json()
    assert {(other["author"], other["label"]) for other in told["others"]} == {("bob", "new"), (LOCAL, "theirs")}
    assert "theirs" in [change["said"]["label"] for change in told["history"] if change["author"] == "bob"]


def test_labels_of_other_weights_are_kept_with_these_and_not_shown_here(client, sae):
    other = {"weights": OTHER, "width": 4096, "feature": 2, "author": "bob", "label": "elsewhere"}
    wider = other | {"weights": sae.checkpoint_hash}
    said = brought(client, json.dumps([other, wider]).encode())
    assert "1 label about other weights (deadbeefdead), which no SAE here has" in said
    assert "labels[1]: it says that these weights have 4,096 features; they have 12" in said
    assert client.get("/saes/tiny/labels/2.json").json()["others"] == [] and listed(client, "?labelled=yes") == []
    page = text_of(client.get("/saes/tiny/labels/"))
    assert "deadbeefdead , 4,096 features: 1 label" in page
    assert json.loads(exported(client, query=f"?weights={OTHER}"))["labels"][0]["label"] == "elsewhere"


def test_a_csv_typed_by_hand_is_about_the_sae_of_the_page(client, sae):
    said = brought(client, "Feature,Label\r\n2,tabs\r\n#5,spaces\r\n12,x\r\n,y\r\n3,\r\n".encode("utf-8-sig"))
    assert "2 labels added." in said and own(client, 5)["label"] == "spaces"
    assert "line 4: feature 12: this SAE has features 0 to 11" in said
    assert "line 5: feature is a whole number" in said and "line 6: it says nothing" in said


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "names no column “feature”"),
        (b"\xff\xfe", "not text in UTF-8 (byte 0)"),
        (b"{", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"format": 2, "labels": []}', "is of format 2; this version reads format 1"),
        (b'{"labels": {}}', "holds no labels"),
        (b'[7, {"feature": true}, {"feature": 1, "label": 3}]', "labels[0]: not an object"),
        (b'[{"feature": 1, "label": "x", "kind": "god"}]', "kind is person, import, machine, not"),
        (b'[{"feature": 1, "label": "x", "star": "perhaps"}]', "star is true or false"),
        (b'[{"feature": 1, "label": "x", "weights": "../x", "width": 3}]', "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_read_of_a_file_is_said(client, sae, content, said):
    assert said in brought(client, content) and not Judgement.objects.exists()


def test_thousands_of_labels_come_and_go_in_few_statements(sae, django_assert_max_num_queries):
    SAE.objects.update(d_sae=20_000)
    sae.d_sae = 20_000
    rows = [{"feature": i, "label": f"label {i}", "author": "bob"} for i in range(3_000)]
    file = label_files.read(json.dumps(rows).encode(), sae, "me")
    with django_assert_max_num_queries(80):
        report = label_import.take(file, sae, Reader("me"))
    assert report.added == 3_000 and len(labels.labels_of(sae, None)) == 3_000
    written = label_files.as_csv(Judgement.objects.of(sae).iterator())
    assert sum(1 for _ in csv.reader(io.StringIO(written))) == 3_001


def test_labels_are_written_into_findings_and_read_from_them(client, sae, ann, django_user_model):
    file = findings_file.file_of(sae.path)
    file.write_text(json.dumps({"features": [{"feature": 5, "name": "found before"}], "prompts": [], "by": "hand"}))
    post(client, 2, label="tabs", note="Look at the lowest interval.", tags=["code"])
    post(client, 5, label="mine")
    downloaded = client.get("/saes/tiny/labels/findings.json").content
    assert client.post("/saes/tiny/labels/findings/").status_code == 403
    client.force_login(django_user_model.objects.create_superuser("boss"))
    keep.change(sae, 2, Reader("boss"), {"label": "tabs", "note": "Look at the lowest interval."}, 0)
    keep.change(sae, 5, Reader("boss"), {"label": "mine"}, 0)
    said = text_of(client.post("/saes/tiny/labels/findings/", follow=True))
    assert "1 finding added" in said and "1 of the labelled features had one, which stands" in said
    written = json.loads(file.read_text())
    assert written["by"] == "hand" and [entry["name"] for entry in written["features"]] == ["found before", "tabs"]
    assert [entry["name"] for entry in json.loads(downloaded)["features"]] == ["found before", "tabs"]
    assert findings_file.findings_of(sae).of(2).sentence == "Look at the lowest interval."
    assert client.get("/saes/tiny/features/2.json").json()["finding"]["name"] == "tabs"
    client.logout()
    Judgement.objects.all().delete()
    assert "2 labels added." in brought(client, file.read_bytes())
    assert own(client, 5)["label"] == "found before"
    file.write_text("{")
    client.force_login(django_user_model.objects.get(username="boss"))
    assert "nothing was written" in text_of(client.post("/saes/tiny/labels/findings/", follow=True))
    assert file.read_text() == "{"


def test_who_types_while_a_file_is_imported_waits_and_so_does_a_second_import(sae):
    rows = label_import.standing({sae.checkpoint_hash}, {2}).query  # SQLite has one writer at a time anyway
    assert rows.select_for_update and rows.select_for_update_of == ("self",)
    held = label_import.held(sae, {sae.checkpoint_hash}).query
    assert held.select_for_update and held.order_by == ("pk",)


def test_a_label_typed_between_reading_and_writing_is_found_at_the_second_try(sae, monkeypatch):
    file = label_files.read(b'[{"feature": 2, "label": "theirs"}]', sae, "me")
    new, own = label_import._new, {"weights": sae.checkpoint_hash, "width": 12, "author": "me"}

    def typed_meanwhile(*args):
        monkeypatch.setattr(label_import, "_new", new)
        Judgement.objects.create(index=2, label="typed", kind=Judgement.Kind.PERSON, **own)
        return new(*args)

    monkeypatch.setattr(label_import, "_new", typed_meanwhile)
    assert label_import.take(file, sae, Reader("me")).added == 1 and Judgement.objects.get().label == "theirs"


def test_the_page_says_which_columns_a_file_needs(client, sae):
    assert "needs the column “feature” and one of “label”, “note”, “tags”, “grade”, “star”" in text_of(
        client.get("/saes/tiny/labels/")
    )

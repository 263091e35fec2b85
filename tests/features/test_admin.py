"""Can staff recompute statistics and follow jobs, and can nobody else?"""

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from features.jobs import lifecycle
from features.jobs.requests import request_statistics
from features.messages import BadRequest
from features.models import SAE, Corpus, Feature, Job
from features.templatetags.formatting import percent
from tests import made_up
from tests.features.shown import store

pytestmark = pytest.mark.django_db
SAES, FEATURES, JOBS = (f"/admin/features/{name}/" for name in ("sae", "feature", "job"))


def user(name, *permissions):
    made = get_user_model().objects.create_user(name, is_staff=True)
    made.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return made


@pytest.fixture
def staff():
    return user("ada", "add_job", "view_job", "view_sae", "view_feature")


@pytest.fixture(autouse=True)
def _logged_in(client, staff, sent):
    client.force_login(staff)


def asked(*rows, **more):
    return {"action": "recompute", "_selected_action": [row.pk for row in rows]} | more


CONFIRMED = {"confirmed": "yes", "tokens": "900", "device": "cpu", "seed": "3"}


def test_recomputing_is_asked_for_first(client, tiny):
    page = client.post(SAES, asked(tiny))
    assert "Tiny: all of 8 features, on Made-up corpus (960 tokens)" in page.content.decode()
    assert not Job.objects.exists()


def test_the_filled_in_form_makes_a_job(client, tiny, staff):
    answer = client.post(SAES, asked(tiny, **CONFIRMED), follow=True)
    job = Job.objects.get()
    assert (job.sae, job.features, job.tokens, job.device, job.seed) == (tiny, None, 900, "cpu", 3)
    assert (job.requested_by, job.requested_how) == (staff, "admin")
    assert f"Job {job.pk} for Tiny is queued." in answer.content.decode()


def test_another_corpus_can_be_chosen(client, tiny):
    other = Corpus.objects.create(slug="other", name="Other", path=tiny.corpus.path, rows=20, row_length=16)
    client.post(SAES, asked(tiny, **CONFIRMED | {"corpus": other.pk, "tokens": "250"}))
    assert Job.objects.get().corpus == other


def test_chosen_features_make_one_job(client, tiny):
    store(tiny, made_up.Collected())
    rows = Feature.objects.filter(index__in=[2, 5])
    assert "Tiny: 2 of 8 features" in client.post(FEATURES, asked(*rows)).content.decode()
    client.post(FEATURES, asked(*rows, **CONFIRMED | {"tokens": ""}))
    assert Job.objects.get().features == [2, 5]


def test_all_features_beyond_the_page_can_be_chosen(client, tiny):
    store(tiny, made_up.Collected())
    first = Feature.objects.first()
    page = client.post(FEATURES, asked(first, select_across="1")).content.decode()
    assert "Tiny: 8 of 8 features" in page and 'name="select_across" value="1"' in page
    client.post(FEATURES, asked(first, select_across="1", **CONFIRMED | {"tokens": ""}))
    assert Job.objects.get().features == list(range(8))


def test_chosen_features_on_other_tokens_are_refused_when_asked_and_not_after_computing(client, tiny):
    statistics = store(tiny, made_up.Collected())
    page = client.post(FEATURES, asked(*Feature.objects.filter(index=2), **CONFIRMED | {"tokens": "300"}))
    assert "on 960 tokens, and chosen features join them; 300 were asked for. Leave" in page.content.decode()
    assert not Job.objects.exists()
    assert request_statistics(SAE.objects.get(), features=[2], tokens=950).tokens == 960  # ends in the same row
    type(statistics).objects.update(checkpoint_hash="of other weights")
    with pytest.raises(BadRequest, match="statistics of other weights"):
        request_statistics(SAE.objects.get(), features=[2])


def test_what_a_job_will_take_is_told_before_it_starts(client, tiny):
    page = client.post(SAES, asked(tiny)).content.decode()
    assert "For 960 tokens. Time: nobody knows before the first computation here." in page
    assert "Memory: 14.8 MiB" in page and "64 a token, which nobody has measured" in page and "are free." in page
    began = timezone.now()
    Job.objects.create(sae=tiny, tokens=480, state="done", started=began, finished=began + timedelta(seconds=60))
    page = client.post(SAES, asked(tiny)).content.decode()
    assert "Time: about 2 min 0 s, as job" in page and "took 1 min 0 s for 480." in page
    assert "Time: about" in client.post(SAES, asked(tiny, **CONFIRMED), follow=True).content.decode()


def test_what_stops_a_job_stands_in_its_first_columns(client, tiny):
    request_statistics(tiny)
    page = client.get(JOBS).content.decode()
    assert page.index("data-post") < page.index("data-progress") and "admin, " not in page
    assert '<a href="/saes/tiny/">Tiny</a>' in page


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (
            {"tokens": "5000"},
            "Asked for 5,000 tokens; the corpus &#x27;Made-up corpus&#x27; has 960. Ask for fewer.",
        ),
        ({"device": "<b>"}, "No device is called &#x27;&lt;b&gt;&#x27;."),
        ({"tokens": "many"}, "Enter a whole number."),
    ],
)
def test_what_cannot_be_computed_stays_in_the_form_with_the_reason(client, tiny, wrong, sentence):
    page = client.post(SAES, asked(tiny, **CONFIRMED | wrong))
    assert sentence in page.content.decode()
    assert not Job.objects.exists()


def test_a_computation_that_runs_already_is_pointed_to(client, tiny):
    job = request_statistics(tiny)
    page = client.post(SAES, asked(tiny, **CONFIRMED)).content.decode()
    assert f"Job {job.pk} computes all features of Tiny already (queued)." in page
    assert Job.objects.count() == 1


def test_staff_without_the_permission_is_not_offered_it_and_cannot_do_it(client, tiny):
    client.force_login(user("eve", "view_sae", "view_feature", "view_job"))
    assert "Recompute" not in client.get(SAES).content.decode()
    client.post(SAES, asked(tiny, **CONFIRMED))
    assert not Job.objects.exists()


def test_others_are_sent_to_log_in(tiny):
    client = Client()
    assert client.post(SAES, asked(tiny, **CONFIRMED)).status_code == 302
    assert not Job.objects.exists()


def test_a_link_computes_nothing(client, tiny):
    client.get(SAES, asked(tiny, **CONFIRMED))
    assert not Job.objects.exists()


def test_a_form_of_another_site_computes_nothing(tiny, staff):
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)
    assert client.post(SAES, asked(tiny, **CONFIRMED)).status_code == 403
    assert not Job.objects.exists()


def test_the_jobs_are_listed_with_their_ends_and_buttons(client, tiny, staff):
    failed = request_statistics(tiny, user=staff)
    Job.objects.update(state="failed", error="<script>alert(1)</script> is no device")
    queued = request_statistics(tiny, how="admin")
    page = client.get(JOBS).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is no device" in page and "<script>alert" not in page
    assert f'data-post="/jobs/{failed.pk}/retry/"' in page
    assert f'data-post="/jobs/{queued.pk}/cancel/"' in page
    assert f'data-progress="/jobs/{queued.pk}.json"' in page
    assert "ada" in page and "admin/jobs.js" in page


def test_the_list_of_jobs_brings_the_cookie_that_its_buttons_send_back(client, tiny):
    request_statistics(tiny)
    assert "csrftoken" in client.get(JOBS).cookies


def test_jobs_are_not_edited(client, tiny):
    job = request_statistics(tiny)
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get(f"{JOBS}add/").status_code == 403
    assert client.post(f"{JOBS}{job.pk}/change/", {"state": "done"}).status_code == 403
    assert client.post(f"{JOBS}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    lifecycle.cancel(job)  # the only way


def test_every_list_of_the_admin_can_be_read(client, tiny):
    store(tiny, made_up.Collected())
    client.force_login(get_user_model().objects.create_superuser("root"))
    for name in ("sae", "feature", "job", "corpus", "statistics"):
        listed = client.get(f"/admin/features/{name}/")
        assert listed.status_code == 200
        assert "Select" not in re.search(r"<title>(.*?)</title>.*<h1>(.*?)</h1>", listed.text, re.DOTALL).group(2)
        if name == "feature":
            assert re.findall(r'field-share">([^<]*)<', listed.text)[1] == percent(Feature.objects.get(index=1).density)
    assert client.get(f"{SAES}{tiny.pk}/change/").status_code == 200


def test_the_list_of_features_reads_no_payloads(client, tiny, django_assert_max_num_queries):
    store(tiny, made_up.Collected())
    with django_assert_max_num_queries(12) as queries:
        client.get(FEATURES)
    assert not any('"payload"' in query["sql"] for query in queries.captured_queries)

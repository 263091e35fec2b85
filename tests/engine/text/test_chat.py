"""A chat is written by the tokenizer's template, in a sandbox."""

import json

import pytest

from features.engine.text.chat import ChatError, chat_template, messages_of

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HI = [{"role": "user", "content": " hi "}]


def template(folder, source, name="tokenizer_config.json"):
    settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}
    if name == "chat_template.jinja":
        (folder / name).write_text(source)
    else:
        settings["chat_template"] = source
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return chat_template(folder)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (TEMPLATE, "tokenizer_config.json"),
        (TEMPLATE, "chat_template.jinja"),
        ([{"name": "tool", "template": "x"}, {"name": "default", "template": TEMPLATE}], "tokenizer_config.json"),
    ],
)
def test_the_template_is_found_in_each_place(tmp_path, source, name):
    write = template(tmp_path, source, name)
    assert write(HI) == "<s><|user|>hi</s>"
    assert write(HI, add_generation_prompt=True) == "<s><|user|>hi</s><|assistant|>"


def test_it_has_what_templates_of_transformers_use(tmp_path):
    source = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m | tojson }}{% endgeneration %}{% endfor %}"
    )
    assert template(tmp_path, source)(HI * 2) == '{"role": "user", "content": " hi "}'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.__class__.__mro__[1] }}", "refuses these messages"),
        (
            "{% for a in range(9999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
            "more than 4,000,000",
        ),
        ("{% for %}", "does not work"),
    ],
)
def test_what_it_must_not_do_is_an_error(tmp_path, source, said):
    with pytest.raises(ChatError, match=said):
        template(tmp_path, source)(HI)


def test_a_folder_without_one_has_none(tmp_path):
    assert chat_template(tmp_path) is None


def test_a_text_is_one_message_and_json_many():
    assert messages_of("hi") == [{"role": "user", "content": "hi"}]
    assert messages_of(json.dumps(HI)) == HI
    for text in ("[{", '[{"role": "user"}]', '[{"role": 3, "content": ""}]'):
        with pytest.raises(ChatError):
            messages_of(text)


def test_half_a_character_in_a_message_is_refused():
    with pytest.raises(ChatError, match="half a character"):
        messages_of(r'[{"role": "user", "content": "a \ud83d"}]')

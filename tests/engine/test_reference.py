"""The definitions give what a hand and a pencil give, and what transformers gives; nothing but tests uses them."""

import ast
import math
import re

import pytest
import torch

from features.engine import reference, reference_analysis, reference_examples, reference_questions
from tests.saeviz.test_arrows import ROOT, imports, sources

NAN = math.nan


def T(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def same(found, *expected):
    expected = torch.tensor(expected if found.dim() else expected[0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


# By hand: three tokens, two features

H = T([1, 2], [3, 0], [0, 1])
W_ENC, B_ENC, B_PRE = T([1, 0], [0, 2]), T(-1, 0), T(0, 1)
W_DEC, B_DEC = T([3, 4], [1, 0]), T(1, -1)
F = T([0, -3], [2, 1], [4, 0])  # with a sign, as abstopk gives


def test_encode_is_relu_of_the_product_behind_the_pre_bias():
    # h - b_pre = [1 1] [3 -1] [0 0]; @ W_enc = [1 2] [3 -2] [0 0]; + b_enc = [0 2] [2 -2] [-1 0]
    same(reference.encode(H, W_ENC, B_ENC, B_PRE), [0, 2], [2, 0], [0, 0])
    # h @ W_enc + b_enc = [0 4] [2 0] [-1 2]
    same(reference.encode(H, W_ENC, B_ENC), [0, 4], [2, 0], [0, 2])
    same(reference.encode(H, W_ENC, B_ENC, act=lambda p: p), [0, 4], [2, 0], [-1, 2])


def test_decode_adds_up_decoder_rows_and_the_bias():
    # 2 [3 4] + 1 [1 0] + [1 -1] = [8 7]
    same(reference.decode(T([2, 1]), W_DEC, B_DEC), [8, 7])


def test_a_jumprelu_keeps_what_exceeds_its_threshold_as_it_is():
    # 2 > 2 is not; 3 > 2; -1 is not above 0 though above the threshold -2
    same(reference.jumprelu(T([2, 1], [3, -1]), T(2, -2)), [0, 1], [3, 0])


def test_a_gate_opens_by_its_own_bias_and_lets_the_magnitude_through():
    # gates: 1 - 2 < 0, 2 + 1 > 0, 3 - 2 > 0, -0.5 + 1 > 0; magnitudes: 2 * 1 + 1 = 3, 1 * 2 - 1 = 1, 2 * 3 + 1 = 7,
    # 1 * -0.5 - 1 < 0
    found = reference.gated(T([1, 2], [3, -0.5]), T(-2, 1), T(math.log(2), 0), T(1, -1))
    same(found, [0, 1], [7, 0])


def test_the_k_largest_are_kept_with_or_without_what_is_below_zero():
    p = T([-5, 3, -1, 2], [-4, -3, -2, -1])
    same(reference.topk(p, 2), [0, 3, 0, 2], [0, 0, 0, 0])
    same(reference.signed_topk(p, 2), [0, 3, 0, 2], [0, 0, -2, -1])
    same(reference.abstopk(p, 2), [-5, 3, 0, 0], [-4, -3, 0, 0])
    # groups (5 3) (-1 2) and (-4 -3) (-2 -1)
    same(reference.groupmax(T([5, 3, -1, 2], [-4, -3, -2, -1]), 2), [5, 0, 0, 2], [0, 0, 0, 0])


def test_the_threshold_of_a_batch_is_the_smallest_that_was_kept():
    # k = 1 on three tokens: of 5 4 3 1 the three largest are 5 4 3, two of them on one token
    same(reference.batch_topk_threshold(T([5, 4], [3, -2], [1, 0]), 1), 3)
    # of four places only 5 and 1 are above 0
    same(reference.batch_topk_threshold(T([5, -4], [1, -2]), 2), 1)


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_an_input_norm_is_taken_per_token(kind):
    x, shift, scale = reference.input_norm(T([1, 7]), kind)
    if kind == "layer_norm":
        # mean 4, deviation sqrt((9 + 9) / 1) = 4.242641; (1 - 4) / (4.242641 + 0.00001) = -0.707105
        same(shift, [4])
        same(scale, [math.sqrt(18)])
        same(x, [-3 / (math.sqrt(18) + 1e-5), 3 / (math.sqrt(18) + 1e-5)])
    else:
        # length sqrt(50) over sqrt(2) = 5
        same(scale, [5])
        same(x, [0.2, 1.4])
        same(shift, [0])


def test_special_tokens_are_no_population():
    assert reference.counted(torch.tensor([[0, 5, 7], [0, 1, 9]]), {0, 1}).tolist() == [
        [False, True, True],
        [False, False, True],
    ]


def test_figures_of_activations_are_of_both_signs_and_of_sizes():
    same(reference.density(F), 2 / 3, 2 / 3)
    same(reference.maximum(F), 4, 3)
    same(reference.mean_active(F), 3, 2)  # (2 + 4) / 2, (3 + 1) / 2
    same(reference.mean_active(0 * F), 0, 0)
    same(reference.l0(F), 4 / 3)  # 1, 2 and 1 active features


def test_an_act_quantile_is_the_share_of_tokens_that_are_smaller_in_size():
    # of sizes 3 1 0: none below 0, one below 1 and below 0.5, two below 3; above all, half a token is taken off
    same(reference.act_quantile(F[:, 1], T(0, 0.5, -1, 3, 8)), 0, 1 / 3, 1 / 3, 2 / 3, 1 - 0.5 / 3)


def test_a_histogram_has_left_edges_inside_and_the_last_bin_both():
    counts, edges = reference.histogram(T(0, 1, 1.5, 4, 4, 3), T(0)[0], T(4)[0], bins=4)
    same(edges, 0, 1, 2, 3, 4)
    assert counts.tolist() == [1, 2, 0, 3]  # 0; 1 and 1.5; none; 3, 4 and 4
    counts, edges = reference.activation_histogram(F[:, 1], bins=3)
    same(edges, 0, 1, 2, 3)
    assert counts.tolist() == [0, 1, 1]  # sizes 1 and 3; the 0 is not active


def test_intervals_share_out_the_active_tokens():
    edges, shares = reference.intervals(F[:, 0], 2)
    same(edges, 4, 2, 0)
    same(shares, 1 / 3, 1 / 3)  # 2 < 4 <= 4; 0 < 2 <= 2; the token with 0 is in none
    assert reference.intervals(F[:, 0])[0].tolist() == pytest.approx([4 - 0.4 * n for n in range(11)])


def test_variance_lies_in_first_positions_and_in_the_longest():
    h = torch.zeros(1000, 1, dtype=torch.float64)
    h[0], h[1], h[2] = 3, -4, 1
    h[3:] = torch.arange(997)[:, None] % 2 - 0.5
    is_first = torch.zeros(1000, dtype=bool)
    is_first[0] = True
    reconstruction = h.clone()
    reconstruction[0] = reconstruction[1] = 100  # whatever becomes of these
    reconstruction[2] = 0
    first, outliers, rest = reference.variance_shares(h, reconstruction, is_first)
    total = (h - h.mean()).square().sum()
    same(first, float((3 - h.mean()) ** 2 / total))
    same(outliers, float((-4 - h.mean()) ** 2 / total))
    same(rest, float(1 - 1 / (h[2:] - h[2:].mean()).square().sum()))


def test_cosine_and_pearson_differ_by_the_means():
    x, y = T([0], [2], [4]), T([1, 1, 0], [1, 3, 0], [4, -1, 0])
    # lengths sqrt(20), sqrt(18), sqrt(11); products 2 + 16 and 6 - 4; a column of zeros has none
    same(reference.cosine(x, y), [18 / math.sqrt(20 * 18), 2 / math.sqrt(20 * 11), NAN])
    # centred: -2 0 2; -1 -1 2 and 0 2 -2, of lengths sqrt(8), sqrt(6), sqrt(8); products 2 + 4 and -4
    same(reference.pearson(x, y), [6 / math.sqrt(8 * 6), -4 / 8, NAN])


def test_listed_are_seven_highest_and_three_lowest_below_zero():
    r = T(0.1, NAN, 0.9, -0.4, 0.2, 0.3, 0.4, 0.5, 0.6, -0.1, 0.05, 0.02)
    # order: 2 8 7 6 5 4 0 | 10 11 9 3; the three lowest of the rest are 11 9 3, and 11 is above 0
    assert reference.correlates(r) == [2, 8, 7, 6, 5, 4, 0, 9, 3]
    assert reference.correlates(T(-0.5, NAN, -0.2)) == [2, 0]


def test_decoder_rows_are_compared_by_cosine():
    # (3 4) (1 0): 3 / 5; (3 4) (4 -3) = 0
    same(reference.decoder_cosine(T([3, 4]), T([1, 0], [4, -3], [0, 0])), [0.6, 0, 0])
    assert reference.decoder_neighbours(T([3, 4], [1, 0], [-3, -4], [6, 8]), 0).tolist() == [3, 1, 2]
    assert reference.decoder_neighbours(T([3, 4], [1, 0], [-3, -4], [6, 8]), 0, n=1).tolist() == [3]


def test_output_directions_go_through_the_map_into_the_residual_stream():
    # 3 [1 0 1] + 4 [0 2 0] = [3 8 3]; 1 [1 0 1] = [1 0 1]
    same(reference.output_directions(W_DEC, T([1, 0, 1], [0, 2, 0])), [3, 8, 3], [1, 0, 1])
    same(reference.output_directions(W_DEC), [3, 4], [1, 0])


def test_neuron_alignment_is_by_size_with_sign_and_share_of_l1():
    neurons, values, shares = reference.neuron_alignment(T(1, -5, 0, 4), n=2)
    assert neurons.tolist() == [1, 3]
    same(values, -5, 4)
    same(shares, 0.5, 0.4)  # of 1 + 5 + 0 + 4


# Two dimensions, three words; the norm divides by sqrt(3 + 1) = 2 or sqrt(8 + 1) = 3 where it says so.
W_U, B_U = T([1, 0, 2], [0, 1, 1]), T(0, 1, 0)
PLAIN = reference.Unembedding(W_U, B_U, norm=None)
LAYER = reference.Unembedding(W_U, B_U, gain=T(2, 1), bias=T(0, 1), eps=3.0)
RMS = reference.Unembedding(W_U, B_U, gain=T(2, 1), norm="RMS", eps=4.0)


def test_the_final_norm_divides_by_the_root_of_the_mean_square():
    # [3 1] less its mean 2 is [1 -1]; mean square 1, root of 1 + 3 is 2; [0.5 -0.5] times [2 1] plus [0 1]
    same(reference.final_norm(T([3, 1]), LAYER), [1, 0.5])
    # [3 1]: mean square 5, root of 5 + 4 is 3; [1 1/3] times [2 1]
    same(reference.final_norm(T([3, 1]), RMS), [2, 1 / 3])
    same(reference.final_norm(T([3, 1]), PLAIN), [3, 1])


def test_logits_are_the_normed_residual_unembedded_with_its_bias():
    # 1 [1 0 2] + 0.5 [0 1 1] + [0 1 0] = [1 1.5 2.5]
    same(reference.logits(T([3, 1]), LAYER), [1, 1.5, 2.5])


def test_losses_are_minus_log_probabilities_in_nats():
    # logits of [0 0] are b_U = [0 1 0]: p = 1 / (2 + e), e / (2 + e)
    found = reference.losses(T([0, 0], [0, 0]), torch.tensor([0, 1]), PLAIN)
    same(found, math.log(2 + math.e), math.log(2 + math.e) - 1)


def test_a_loss_effect_is_the_loss_with_less_the_loss_without():
    # x = [2 -1], f = 2, e = [1 -0.5]: without it [0 0], whose losses are above; with it logits [2 0 3]
    x, f, e = T([2, -1]), T(2), T([1, -0.5])
    log_z = math.log(math.exp(2) + 1 + math.exp(3))
    for target, expected in ((0, (log_z - 2) - math.log(2 + math.e)), (1, log_z - (math.log(2 + math.e) - 1))):
        same(reference.loss_effect(x, torch.tensor([target]), f, e, PLAIN), expected)


def test_a_loss_effect_goes_through_the_final_norm_anew():
    # with [3 1]: logits [1 1.5 2.5], as above. Without 1 of [2 0]: [1 1], centred [0 0], logits of the bias [0 1]:
    # [0 1 1] + [0 1 0] = [0 2 1]
    found = reference.loss_effect(T([3, 1]), torch.tensor([2]), T(1), T([2, 0]), LAYER)
    with_it = math.log(math.exp(1) + math.exp(1.5) + math.exp(2.5)) - 2.5
    same(found, with_it - (math.log(1 + math.exp(2) + math.exp(1)) - 1))


def test_probabilities_are_those_of_both_losses():
    # loss ln 2 with it, ln 8 without: effect ln 2 - ln 8
    loss = T(math.log(2))
    with_it, without = reference.probabilities(loss, loss - math.log(8))
    same(with_it, 0.5)
    same(without, 0.125)


def test_logit_effects_are_centred_only_where_the_norm_centres():
    # [3 1] - 2 = [1 -1], times gain [2 -1]: 2 [1 0 2] - [0 1 1] = [2 -1 3]
    same(reference.logit_effects(T([3, 1]), LAYER), [2, -1, 3])
    # [6 1]: 6 [1 0 2] + [0 1 1] = [6 1 13]
    same(reference.logit_effects(T([3, 1]), RMS), [6, 1, 13])
    same(reference.logit_effects(T([3, 1]), PLAIN), [3, 1, 7])


def test_a_logit_effect_on_a_token_is_the_activation_times_that_of_the_next():
    found = reference.logit_effect_on_token(T(2, -1), T([3, 1], [3, 1]), torch.tensor([2, 0]), LAYER)
    same(found, 6, -2)  # 2 * 3, -1 * 2


def test_a_prompts_loss_effects_stand_under_the_predicted_token():
    x, ids, e = T([2, -1], [0, 0], [5, 5]), torch.tensor([2, 0, 1]), T([1, -0.5], [0, 1])
    found = reference.prompt_loss_effects(x, ids, F, e, PLAIN)
    under_1 = reference.loss_effect(x[0], ids[1], F[0, 1:], e[1:], PLAIN)[0]  # -3 on token 0, predicting token 1
    under_2 = reference.loss_effect(x[1], ids[2], F[1], e, PLAIN)  # 2 and 1 on token 1, predicting token 2
    same(found, [NAN, NAN], [NAN, under_1], [*under_2])


def test_predictions_with_an_activation_and_without_it():
    # As above: logits [2 0 3] with it, [0 1 0] without
    found = reference.predictions(T(2, -1), T(2)[0], T(1, -0.5), PLAIN)
    z, z_without = math.exp(2) + 1 + math.exp(3), 2 + math.e
    same(found, [math.exp(2) / z, 1 / z, math.exp(3) / z], [1 / z_without, math.e / z_without, 1 / z_without])


def test_a_prompts_features_are_ranked_on_the_token_or_by_what_they_did_before_it():
    f = T([0, -3, 0, 0], [2, 1, 0, -2], [1, 0, 0, 4])
    assert reference.rank("act_size", 1, f) == [0, 3, 1]
    quantiles = T([0, 0.9, 0, 0], [0.5, 0.8, 0, 0.5], [0.7, 0, 0, 0.7])
    assert reference.rank("act_quantile", 1, f, quantiles=quantiles) == [1, 0, 3]
    assert reference.rank("act_quantile", 2, f, quantiles=quantiles) == [3, 0]  # as rare, but larger
    # Under token 2 stand the effects of what was active on token 1: 0, 1 and 3
    effects = T([NAN] * 4, [NAN, -1, NAN, NAN], [0.3, -0.2, NAN, 0.1])
    assert reference.rank("loss_effect", 2, f, effects=effects) == [1, 3, 0]
    assert reference.rank("loss_effect", 0, f, effects=effects) == []


def test_explained_variance_is_of_all_entries_together():
    # errors [1 0] [0 0] [0 1]: 2; from the mean [4/3 1]: 1/9 + 1, 25/9 + 1, 16/9 + 0 = 60/9
    same(reference.explained_variance(H, H - T([1, 0], [0, 0], [0, 1])), 1 - 2 * 9 / 60)


def test_loss_recovered_is_the_part_of_the_gap():
    assert reference.loss_recovered(2.0, 2.5, 7.0) == 0.9  # (7 - 2.5) / (7 - 2)


def test_dead_is_never_and_dense_is_more_than_a_tenth():
    f = torch.zeros(20, 3, dtype=torch.float64)
    f[:2, 1], f[:3, 2] = 1, -1  # 10 %, 15 %
    dead, dense = reference.dead_and_dense(f)
    assert (dead.tolist(), dense.tolist()) == ([True, False, False], [False, False, True])


# By transformers

TOKENS, POSITION, FEATURES = 9, 4, 5


def gpt2():
    """A model with a LayerNorm at its end; where its last block's neurons and what follows them are."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=37, n_positions=16, n_embd=12, n_layer=2, n_head=2, attn_implementation="eager")
    model = GPT2LMHeadModel(config).double().eval()
    norm, last = model.transformer.ln_f, model.transformer.h[-1].mlp
    norm.weight.data, norm.bias.data = 1 + torch.randn(12).double() / 3, torch.randn(12).double() / 3
    model.lm_head.weight.data = torch.randn(37, 12).double()  # its own: no longer that of the embedding
    unembedding = reference.Unembedding(model.lm_head.weight.T, 0.0, norm.weight, norm.bias, "LN", norm.eps)
    return model, norm, last.act, last.c_proj.weight, unembedding, 1e-12


def llama():
    """A model with an RMSNorm, which transformers takes in float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=37, attn_implementation="eager", **sizes)).double().eval()
    norm, last = model.model.norm, model.model.layers[-1].mlp
    norm.weight.data = 1 + torch.randn(12).double() / 3
    model.lm_head.weight.data = torch.randn(37, 12).double()
    unembedding = reference.Unembedding(model.lm_head.weight.T, gain=norm.weight, norm="RMS", eps=norm.variance_epsilon)
    return model, norm, last.down_proj, None, unembedding, 2e-6


def run(model, ids):
    """Loss of each token but the first."""
    log_p = model(ids[None]).logits[0, :-1].log_softmax(-1)
    return -log_p[torch.arange(len(ids) - 1), ids[1:]]


@pytest.mark.parametrize("made", [gpt2, llama])
@torch.no_grad()
def test_losses_and_loss_effects_are_those_of_running_the_model_without_the_feature(made):
    torch.manual_seed(0)
    model, norm, site, W_out, unembedding, off = made()
    ids, seen = torch.randint(37, (TOKENS,)), {}
    hooks = [
        norm.register_forward_pre_hook(lambda module, given: seen.update(x=given[0][0])),
        site.register_forward_hook(lambda module, given, out: seen.update(h=out[0])),
    ]
    clean = run(model, ids)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(reference.losses(seen["x"][:-1], ids[1:], unembedding), clean, rtol=0, atol=off)

    width = seen["h"].shape[1]
    W_dec = torch.randn(FEATURES, width).double()
    f = reference.encode(seen["h"], W_dec.T / width, 0.1 * torch.ones(FEATURES).double())
    e, active = reference.output_directions(W_dec, W_out), f[POSITION].nonzero()[:, 0]
    found = reference.prompt_loss_effects(seen["x"], ids, f, e, unembedding)[POSITION + 1]
    assert len(active) > 1
    for i in active:
        without = torch.zeros_like(seen["h"])
        without[POSITION] = f[POSITION, i] * W_dec[i]
        hook = site.register_forward_hook(lambda module, given, out, without=without: out - without)
        ablated = run(model, ids)
        hook.remove()
        effect = float(clean[POSITION] - ablated[POSITION])
        assert abs(effect) > 1e-3
        assert float(found[i]) == pytest.approx(effect, rel=0, abs=off)
        with_it, without_it = reference.probabilities(clean[POSITION], found[i])
        assert float(without_it) == pytest.approx(math.exp(-ablated[POSITION]), abs=off)
        assert float(with_it) == pytest.approx(math.exp(-clean[POSITION]), abs=off)


def test_over_several_tokens_effects_add_up_and_the_highest_quantile_counts():
    scores = T([0.9, 0, -2], [0.5, float("nan"), 1])
    same(reference.over_tokens("act_size", scores), 1.4, 0, -1)
    same(reference.over_tokens("act_quantile", T([0.9, 0], [0.5, 0.7])), 0.9, 0.7)


def test_a_margin_is_half_of_what_holds_95_percent_of_the_draws():
    same(reference.bootstrap_margin(torch.arange(41.0).double()), 19)  # from 1 to 39


# Its place


DEFINITIONS = {
    "reference": reference,
    "reference_examples": reference_examples,
    "reference_questions": reference_questions,
    "reference_analysis": reference_analysis,
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_nothing_but_tests_imports_the_definitions(name):
    files = [path for room in ("features", "prompts", "saeviz") for path in sources(room)]
    assert ROOT / f"features/engine/{name}.py" in files
    importing = [path for path in files for _, said in imports(path) if said == f"features.engine.{name}"]
    assert importing == []


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_definitions_import_torch_alone(name):
    path = ROOT / f"features/engine/{name}.py"
    assert {name.split(".")[0] for _, name in imports(path)} <= {"torch", "typing"}
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_is_worked_by_hand_and_named_in_the_docs(name):
    functions = [
        node.name
        for node in ast.parse((ROOT / f"features/engine/{name}.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    here = (ROOT / f"tests/engine/test_{name}.py").read_text()
    docs = (ROOT / "docs/definitions.md").read_text()
    assert [function for function in functions if f"{name}.{function}(" not in here] == []
    assert [function for function in functions if f"`{function}`" not in docs] == []


def test_what_the_engine_says_it_is_the_same_as_is_there():
    named = {
        name
        for path in sources("features/engine")
        for said in re.findall(r"[Ss]ame as (.*?)[:.](?:\s|$)", path.read_text(), re.S)
        for name in re.findall(r"(reference|reference_questions|reference_analysis)\.(\w+)", said)
    }
    assert len(named) > 20
    assert [(file, name) for file, name in named if not hasattr(DEFINITIONS[file], name)] == []

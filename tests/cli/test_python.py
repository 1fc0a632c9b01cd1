"""Python takes what the command line takes, names and paths beside objects, and shows what it gives in a few lines."""

import numpy as np
import pytest
from safetensors.numpy import save

import pessimal as ps
from pessimal.cli.main import main
from pessimal.display import html_of, text_of
from pessimal.kernel.certificate import decode
from pessimal.mismatch import why_other_weights
from pessimal.testing import safetensors_bytes, tiny_weights


def tensors(seed=0):
    return {name: np.array(array) for name, array in tiny_weights(seed).tensors.items()}


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "m.safetensors"
    found.write_bytes(safetensors_bytes(tensors()))
    return found


@pytest.fixture
def weights(path):
    return ps.load_weights(path)


def test_names_classes_and_paths_mean_the_objects(path, weights, tmp_path):
    asked = ps.MaxOfK(k=3, d_vocab=5)
    wanted = ps.prove(weights, asked, ps.Cubic()).data
    for given in (path, str(path), path.read_bytes(), tensors(), weights):
        for task in ("max-of-k", "max_of_k", ps.MaxOfK, None):
            assert ps.prove(given, task, "cubic").data == wanted
    for strategy in ("cubic", "CUBIC", ps.Cubic):
        assert ps.prove(weights, asked, strategy).data == wanted
    near = ps.prove(weights, asked, ps.Band(near=2, cells=3)).data
    assert ps.prove(path, asked, "band near=2 cells=3").data == near
    (tmp_path / "a.cert").write_bytes(wanted)
    for certificate in (wanted, tmp_path / "a.cert", str(tmp_path / "a.cert")):
        assert ps.check(certificate, path).line() == ps.check(certificate, weights).line()
    assert ps.info(path, samples=9) == ps.info(weights, task="max-of-k", samples=9) | {
        "assumptions": ps.info(path, samples=9)["assumptions"]
    }
    assert ps.within(path, None, "2^20").claim == ps.within(weights, asked, 2**20).claim


def test_files_of_distributions_and_machines_are_taken_by_their_path(path, weights, tmp_path):
    (tmp_path / "d.toml").write_text('name = "product"\nweights = [[1, 2, 3, 4, 5]]\n')
    (tmp_path / "machine.json").write_text('{"k":3,"d_vocab":5,"start":0,"moves":[[0,0,0,0,0]],"outputs":[0]}')
    proof = ps.prove(path, tmp_path / "machine.json", "exact", distribution=tmp_path / "d.toml")
    verdict = ps.check(proof, weights)
    assert verdict.question.task.name == "machine"
    assert verdict.question.distribution == ps.Product([[1, 2, 3, 4, 5]])


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda w: ps.prove(w, "maxofk"), ps.TaskError, "did you mean max-of-k?"),
        (lambda w: ps.prove(w, 3), ps.TaskError, "a task is an object such as MaxOfK"),
        (lambda w: ps.prove(w, ps.MaxOfK(k=9, d_vocab=5)), ps.TaskError, "k=9"),
        (lambda w: ps.prove(w, None, 3), ps.StrategyError, "a strategy is an object such as Band()"),
        (lambda w: ps.prove(w, None, "bnad"), ps.StrategyError, "did you mean band?"),
        (lambda w: ps.prove(w, None, "band x=1"), ps.StrategyError, "has no option 'x'"),
        (lambda w: ps.prove(w, None, "cubic", claim="los"), ValueError, "did you mean loss?"),
        (lambda w: ps.prove(w, None, "cubic", semantics="float"), ValueError, "not one of real, float32"),
        (lambda w: ps.prove(w, None, "exact", distribution="no.json"), ps.DistributionError, "no.json: No such file"),
        (lambda w: ps.prove("no.safetensors"), ps.WeightsError, "no.safetensors: No such file"),
        (lambda w: ps.prove(None), ps.WeightsError, "weights are a model or the path of its file"),
        (lambda w: ps.prove(ps.MaxOfK), ps.WeightsError, "not the class MaxOfK"),
        (lambda w: ps.check(w, b""), ValueError, "weights stand where the certificate belongs"),
        (lambda w: ps.check(3, w), ValueError, "not an object of type int"),
        (lambda w: ps.check("no.cert", w), OSError, "No such file"),
        (lambda w: ps.info(w, samples=0), ValueError, "at least one random sequence"),
        (lambda w: ps.info(w, task="maxofk"), ps.TaskError, "did you mean max-of-k?"),
        (lambda w: ps.within(w, None, "few"), ps.StrategyError, "is not a whole number"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_sentence(weights, call, kind, said):
    with pytest.raises(kind) as refusal:
        call(weights)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_verdict_on_other_statements_about_the_same_tensors_says_which(path, weights):
    proof = ps.prove(ps.load_weights(path, ps.Overrides(attn_scale="1", k=2)), None, "brute-force")
    verdict = ps.check(proof, weights)
    assert verdict.reason is ps.Reason.WEIGHTS_MISMATCH
    assert verdict.detail == ("the same tensors, but proved with attn_scale=1, k=2: check it with --attn-scale 1 --k 2")


def test_what_only_a_file_can_state_is_named_by_its_key(path, weights):
    facts = {"normalization_type": "LNPre", "attn_scale": "1/sqrt(d_head)"}
    folded = ps.load_weights(save(tensors(), facts))
    said = why_other_weights(decode(ps.prove(folded, None, "brute-force").data), weights)
    assert "proved with ln1=layer-norm, ln_eps=1/100000, ln_final=layer-norm" in said
    assert said.endswith("check it with --ln-eps 1/100000 --normalization-type LNPre")
    said = why_other_weights(decode(ps.prove(weights, None, "brute-force").data), folded)
    assert said.endswith("check it with --normalization-type none")
    pooled = ps.load_weights(save(tensors(), {"attention": "uniform"}))
    said = why_other_weights(decode(ps.prove(pooled, None, "brute-force").data), weights)
    assert "the file has to state attention (pessimal convert --fact NAME=VALUE)" in said


def test_other_tensors_are_never_called_the_same(path, weights):
    """One bit of one number, another name of the architecture in a header that anybody may have written."""
    proof = ps.prove(weights, None, "cubic")
    changed = tensors()
    changed["W_U"].view(np.uint32)[0, 0] ^= 1
    other = ps.load_weights(safetensors_bytes(changed))
    assert ps.check(proof, other).detail == (
        f"the certificate is about other weights: it is about sha256:{weights.sha256}, these are sha256:{other.sha256}"
    )
    assert "flags that were given to prove have to be repeated" in ps.check(proof, ps.load_weights(changed)).detail
    forged = proof.data.replace(b'"n_ctx":3', b'"n_ctx":4')
    detail = ps.check(forged, other).detail
    assert "other weights" in detail
    assert "its model has n_ctx=4, this one n_ctx=3" in detail


@pytest.mark.parametrize("claim", ["accuracy", "loss"])
def test_what_people_look_at_is_a_line_or_a_small_table(weights, claim):
    proof = ps.prove(weights, None, "layer-cake levels=2" if claim == "loss" else "exact", claim=claim)
    good, bad = ps.check(proof, weights), ps.check(b"<junk>", weights)
    converted = ps.load_weights({f"model.{name}": array for name, array in tensors().items()})
    for shown, words in (
        (proof, ("Proof claim", proof.claim.statement(), f"{proof.cost.flops:,}")),
        (good, ("Verified claim", proof.claim.statement(), "max-of-k", weights.sha256[:12])),
        (bad, ("NotVerified", "malformed-container", "shorter than")),
        (weights, ("Weights", "d_vocab=5", weights.sha256[:12], "attn_scale=1/sqrt(d_head)")),
        (converted, ("ConvertedWeights", "d_vocab=5")),
    ):
        line, table = repr(shown), shown._repr_html_()
        assert line == text_of(shown)
        assert table == html_of(shown)
        assert len(line) < 700
        assert "\n" not in line
        assert "array" not in line
        assert table.startswith("<table>")
        assert table.endswith("</table>")
        for word in words:
            assert word in line
            assert word.split()[-1].replace(">", "&gt;").replace("<", "&lt;") in table


def test_displays_escape_what_a_file_says(weights):
    weights = ps.load_weights(save(tensors(), {"task": "<b>max</b>"}))
    assert "<b>" not in weights._repr_html_()
    assert "&lt;b&gt;" in weights._repr_html_()


def test_showing_changes_nothing_that_is_compared(weights):
    proof = ps.prove(weights, None, "cubic")
    assert ps.check(proof, weights) == ps.check(proof, weights)
    assert proof == ps.prove(weights, None, "cubic")


def test_a_report_goes_on_without_a_file_that_is_no_model(path, weights, tmp_path, capsys, caplog):
    run = tmp_path / "run"
    run.mkdir()
    (run / "m.safetensors").write_bytes(path.read_bytes())
    (run / "bad.safetensors").write_bytes(b"junk")
    ps.save_certificate(ps.prove(weights, None, "cubic"), run / "m.cert")
    page = tmp_path / "page.html"
    assert main(["report", str(run), "--out", str(page)]) == 0
    assert "1 proofs re-checked" in capsys.readouterr().out
    assert "not used: bad.safetensors: " in caplog.text
    assert "cubic" in page.read_text()


def test_circuits_are_drawn_without_a_proof(path, tmp_path, capsys):
    run, page = tmp_path / "run", tmp_path / "page.html"
    assert main(["analyse", str(path), "--out", str(run)]) == 0
    for _ in range(2):
        assert main(["report", str(run), "--out", str(page)]) == 0
    text = page.read_text()
    assert "EQKE" in text
    assert "no proofs" in text
    assert "The heat maps prove nothing" in text
    assert '<option value="0">m</option>' in text
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["report", str(empty), "--out", str(page)]) == 2
    assert "nothing to report" in capsys.readouterr().err

"""From words to candidates, and from options to sizes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprof.errors import SeqprofError
from seqprof.measure.candidates import at_point, parse_duration, parse_sizes, resolve
from seqprof.measure.compare import FEWEST_ROUNDS, MAX_S, PATIENCE, is_enough, width_multiple
from seqprof.measure.scale import Scaling, points_of
from seqprof.measure.workers.entry import Entry


def test_a_name_is_the_form_that_a_user_would_write() -> None:
    words = ["lstm", "attention", "gru@cell", "gru:cell", "gru:build"]
    lstm, attention, cell, same, own = resolve(words, None, [])
    assert (lstm.spec.model.name, lstm.spec.model.execution) == ("lstm", "fused")
    assert attention.spec.model.execution is None
    assert cell.spec.model.execution == same.spec.model.execution == "cell"
    assert own.spec.model.target == "gru:build"


def test_a_base_gives_all_but_the_model_and_options_go_where_they_mean_something(
    tmp_path: Path,
) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("model: {name: lstm, execution: cell, hidden_size: 64}\ndata: {seq_len: 99}\n")
    words = ["attention", "gru", "some.module:factory"]
    attention, gru, own = resolve(words, base, ["model.heads=8", "train.optimizer=sgd"])
    assert (attention.spec.model.heads, attention.spec.model.hidden_size) == (8, 64)
    assert (gru.spec.model.heads, gru.spec.model.execution) == (None, "fused")
    assert own.spec.model.target == "some.module:factory"
    assert {c.spec.data.seq_len for c in (attention, gru, own)} == {99}
    assert {c.spec.train.optimizer for c in (attention, gru, own)} == {"sgd"}


def test_the_same_candidate_twice_gets_two_labels() -> None:
    assert [c.label for c in resolve(["lstm", "lstm"], None, [])] == ["lstm", "lstm#2"]


@given(st.integers(1, 1000), st.integers(0, 8))
def test_a_range_doubles(first: int, doublings: int) -> None:
    sizes = parse_sizes(f"{first}:{first * 2**doublings}", "--seq-len")
    assert sizes == tuple(first * 2**k for k in range(doublings + 1))


@given(st.lists(st.integers(1, 10_000), min_size=1))
def test_a_list_is_sorted_and_without_doubles(sizes: list[int]) -> None:
    assert parse_sizes(",".join(map(str, sizes)), "--batch") == tuple(sorted(set(sizes)))


@pytest.mark.parametrize("text", ["", "a", "0", "4:2", "1,-2", "1:2:3", "0:4"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SeqprofError, match="expected a range"):
        parse_sizes(text, "--seq-len")


def test_durations() -> None:
    assert [parse_duration(text, "--budget") for text in ("60", "60s", "1.5m")] == [60, 60, 90]
    for text in ("", "s", "-1", "0s", "nan", "inf"):
        with pytest.raises(SeqprofError, match="expected a time"):
            parse_duration(text, "--budget")


def test_points_are_a_grid() -> None:
    (lstm,) = resolve(["lstm"], None, [])
    points = points_of(lstm, Scaling(contenders=(lstm,), lengths=(16, 32), batches=(1, 4)))
    assert points == [(16, 1), (16, 4), (32, 1), (32, 4)]


def test_constant_tokens_let_the_batch_shrink() -> None:
    (lstm,) = resolve(["lstm"], None, [])
    scaling = Scaling(
        contenders=(lstm,), lengths=(16, 32, 100), batches=(20,), constant_tokens=True
    )
    assert points_of(lstm, scaling) == [(16, 20), (32, 10), (100, 3)]


def test_a_point_changes_only_its_sizes() -> None:
    (lstm,) = resolve(["lstm"], None, [])
    moved = at_point(lstm.spec, 32, 2)
    assert (moved.data.seq_len, moved.data.batch_size) == (32, 2)
    assert moved.model == lstm.spec.model


def test_attention_widths_are_multiples_of_two_features_a_head() -> None:
    attention, lstm = resolve(["attention", "lstm"], None, [])
    assert (width_multiple(attention.spec), width_multiple(lstm.spec)) == (8, 1)


def test_rounds_are_taken_until_enough_are_undisturbed_or_patience_ends() -> None:
    [contender] = resolve(["lstm"], None, [])
    calm, busy = (Entry(0, "lstm", contender.spec) for _ in range(2))
    busy.draft.contended_rounds = [0, 1]
    late, too_late = 1.1 * MAX_S, 1.1 * PATIENCE * MAX_S
    assert not is_enough([calm], FEWEST_ROUNDS, 0.5 * MAX_S)
    assert not is_enough([calm], FEWEST_ROUNDS - 1, too_late)
    assert is_enough([calm], FEWEST_ROUNDS, late)
    assert not is_enough([calm, busy], FEWEST_ROUNDS + 1, late)
    assert is_enough([calm, busy], FEWEST_ROUNDS + 2, late)
    assert is_enough([calm, busy], FEWEST_ROUNDS, too_late)

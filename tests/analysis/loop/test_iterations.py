"""Golden event logs → iterations and phases."""

import pytest
from loop_logs import log

from seqprof.analysis.loop.iterations import LoopAnalysis, find_loop
from seqprof.analysis.loop.phases import phase_times

STEP = "[fetch +3 ] +1 [forward +10 ] +2 [zero +1 ] [backward +20 ] +4 [optimizer +5 ] +6"


def rows(loop: LoopAnalysis) -> list[dict[str, float]]:
    """µs of each phase of each iteration."""
    by_fetch = loop.boundary == "fetch"
    return [
        {name: time.wall_ns / 1000 for name, time in phase_times(it, by_fetch=by_fetch).items()}
        for it in loop.iterations
    ]


def test_from_fetch_to_fetch() -> None:
    loop = find_loop(log(f"{STEP} {STEP} {STEP}"))
    assert loop.boundary == "fetch"
    assert rows(loop)[0] == {
        "data": 4, "forward": 10, "loss": 2, "other": 1 + 4 + 6, "backward": 20, "optimizer": 5,
    }  # fmt: skip
    assert len(loop.iterations) == 3


def test_an_exhausted_loader_is_no_step_and_its_time_is_the_next_steps_data() -> None:
    loop = find_loop(log(f"{STEP} [fetch +7 ]exhausted +2 {STEP} [fetch +7 ]exhausted"))
    assert len(loop.iterations) == 2
    assert loop.exhausted == 2
    assert rows(loop)[1]["data"] == 7 + 2 + 4


def test_evaluation_between_steps_is_no_part_of_one() -> None:
    evaluation = "[fetch:9 +3 ] [quiet +9 ] [criterion +2 ] +1 [fetch:9 +3 ]exhausted +5"
    loop = find_loop(log(f"{STEP} {evaluation} {STEP} {STEP}"))
    assert loop.evaluation_batches == 1
    assert rows(loop)[0] == rows(loop)[1]


def test_evaluation_where_the_loader_has_ended_is_no_part_of_the_next_step() -> None:
    evaluation = "[fetch:9 +3 ] [quiet +9 ] [criterion +2 ] +1 [fetch:9 +3 ]exhausted +5"
    epoch = f"{STEP} {STEP} [fetch +7 ]exhausted {evaluation}"
    loop = find_loop(log(f"{epoch} {epoch}"))
    assert loop.evaluation_batches == 2
    first, _, second, _ = rows(loop)
    assert second == {**first, "data": first["data"] + 7}


def test_evaluation_after_the_last_step_is_counted() -> None:
    step = "[forward +9 ] [backward +9 ] [optimizer +5 ] +1"
    loop = find_loop(log(f"{step} {step} {step} [quiet +9 ] [quiet +9 ]"))
    assert len(loop.iterations) == 3
    assert loop.evaluation_batches == 2


@pytest.mark.parametrize(
    ("amid", "evaluated"),
    [
        ("[fetch:9 +3 ] [quiet +9 ] +1 [fetch:9 +3 ] [quiet +9 ] [fetch:9 +3 ]exhausted +5", 2),
        ("[quiet +9 ] [criterion +2 ] +5", 1),
        ("[fetch:9 +3 ] [quiet:7 +9 ] +5", 1),  # averaged weights
        ("[quiet:7 +9 ] +5", 1),
    ],
)
def test_evaluation_now_and_then_between_batch_and_training_is_no_part_of_the_step(
    amid: str, evaluated: int
) -> None:
    work = STEP.removeprefix("[fetch +3 ] +1")
    validated = f"[fetch +3 ] +1 {amid} {work}"
    loop = find_loop(log(f"{validated} {STEP} {STEP} {validated} {STEP}"))
    assert loop.boundary == "fetch"
    assert len(loop.iterations) == 5
    assert loop.evaluation_batches == 2 * evaluated
    first, second, *_ = rows(loop)
    assert first == {**second, "data": 3}  # what lies around it cannot be told from it
    assert [bool(it.evaluations) for it in loop.iterations] == [True, False, False, True, False]


def test_a_step_without_a_fetch_begins_before_the_batch_is_made() -> None:
    """`x = make(); optimizer.zero_grad(); …` and `…; optimizer.zero_grad(); x = make()`."""
    work = "[forward +10 ] +2 [backward +20 ] +1 [optimizer +5 ]"
    top = find_loop(log(f"+50 [zero +3 ] +1 {work} " * 4))
    end = find_loop(log(f"+50 {work} +1 [zero +3 ] " * 4))
    assert top.boundary == end.boundary == "optimizer"
    assert [row["data"] for row in rows(top)[1:]] == [51, 51, 51]
    assert [row["data"] for row in rows(end)[1:]] == [50, 50, 50]
    assert [row["other"] for row in rows(top)[1:]] == [4, 4, 4]


def test_what_evaluates_once_is_not_trained_on() -> None:
    """Evaluation fetches, training does not: its loader is not taken for the batches' own."""
    evaluation = "[fetch:9 +3 ] [quiet +9 ] [fetch:9 +3 ] [quiet +9 ] [fetch:9 +3 ]exhausted +5"
    work = "[forward +10 ] +2 [backward +20 ] +1 [optimizer +5 ] +7"
    for at in (0, 2):
        steps = [work] * 5
        steps[at] = f"{evaluation} {work}"
        loop = find_loop(log(" ".join(steps)))
        assert loop.boundary == "optimizer"
        assert loop.evaluation_batches == 2
        assert all(row["forward"] == 10 for row in rows(loop))
        assert all(row.get("data", 0) <= 7 for row in rows(loop))


def test_evaluation_between_a_batch_and_its_teacher_is_no_part_of_the_step() -> None:
    """The teacher looks at each batch; now and then, the trained model is evaluated before it."""
    work = STEP.removeprefix("[fetch +3 ] +1")
    taught = f"[fetch +3 ] +1 [quiet:7 +9 ] {work}"
    by_loader = "[fetch:9 +3 ] [quiet +20 ] [fetch:9 +3 ]exhausted"
    for evaluation in ("[quiet +20 ]", by_loader):
        validated = f"[fetch +3 ] {evaluation} +1 [quiet:7 +9 ] {work}"
        loop = find_loop(log(f"{taught} {validated} {taught} {taught}"))
        assert loop.evaluation_batches == 1
        plain, first, *_ = rows(loop)
        assert first["forward"] == plain["forward"] == 19
        assert loop.iterations[1].evaluations


def test_a_target_network_in_a_step_of_two_updates_is_no_evaluation() -> None:
    work = "[forward:{0} +9 ] [backward +9 ] [optimizer:{0} +5 ]"
    step = f"[fetch +3 ] [quiet:7 +9 ] {work.format(1)} {work.format(2)}"
    loop = find_loop(log(f"{step} {step} {step} {step} {step}"))
    assert (loop.boundary, loop.evaluation_batches) == ("fetch", 0)
    assert rows(loop)[1] == {"data": 3, "forward": 27, "backward": 18, "optimizer": 10}


def test_a_teacher_after_the_fetch_is_no_evaluation() -> None:
    step = "[fetch +3 ] [quiet +9 ] [forward +9 ] [backward +9 ] [optimizer +5 ]"
    loop = find_loop(log(f"{step} [fetch +7 ]exhausted {step} {step}"))
    assert loop.evaluation_batches == 0


def test_models_that_are_trained_one_after_the_other() -> None:
    first, second = (f"[forward +9 ] [backward +9 ] [optimizer:{key} +5 ] +1" for key in (1, 2))
    loop = find_loop(log(f"{first} {first} {first} {second} {second} {second}"))
    assert [iteration.updates for iteration in loop.iterations] == [1] * 6


def test_optimizers_in_turn_make_one_step() -> None:
    critic, generator = (f"[forward +9 ] [backward +9 ] [optimizer:{key} +5 ] +1" for key in (1, 2))
    step = f"{critic} {critic} {generator}"
    loop = find_loop(log(f"{step} {step} {step}"))
    assert [iteration.updates for iteration in loop.iterations] == [3] * 3


def test_two_batches_that_are_fetched_for_one_step() -> None:
    step = "[fetch:1 +3 ] [fetch:2 +4 ] [forward +9 ] [backward +9 ] [optimizer +5 ] +1"
    evaluation = "[fetch:9 +3 ] [quiet +9 ] [fetch:9 +3 ]"
    loop = find_loop(log(f"{step} {step} {evaluation} {step} {step} {step} {step} {step} {step}"))
    assert loop.boundary == "fetch"
    assert [row["data"] for row in rows(loop)] == [7] * 8
    assert loop.evaluation_batches == 1


def test_entering_autocast_belongs_to_the_forward_and_scaling_to_the_backward() -> None:
    step = (
        "[fetch +3 ] +1 [autocast +4 ] [autocast +2 ] +1 [forward +10 [autocast +2 ] ] +2 "
        "[scale +5 ] +1 [backward +20 ] [autocast +3 ] [optimizer +5 ]"
    )
    loop = find_loop(log(f"{step} {step} {step}"))
    assert rows(loop)[1] == {
        "data": 4, "forward": 4 + 2 + 1 + 10 + 2, "loss": 2, "backward": 5 + 1 + 20, "other": 3,
        "optimizer": 5,
    }  # fmt: skip


def test_micro_batches_lie_inside_a_step() -> None:
    micro = "[fetch +3 ] [forward +10 ] +2 [backward +20 ]"
    step = f"{micro} {micro} {micro} {micro} [optimizer +5 ] [zero +1 ]"
    loop = find_loop(log(f"{step} {step}"))
    assert [iteration.rounds for iteration in loop.iterations] == [4, 4]
    assert rows(loop)[0] == {
        "data": 12, "forward": 40, "loss": 8, "backward": 80, "optimizer": 5, "other": 1,
    }  # fmt: skip


def test_a_step_that_a_scaler_refused_is_a_step_of_its_own() -> None:
    taken = "[fetch +3 ] [forward +9 ] [backward +9 ] [scaler +1 [optimizer +5 ] ] [update +2 ]"
    refused = "[fetch +3 ] [forward +9 ] [backward +9 ] [scaler +1 ] [update +2 ]"
    loop = find_loop(log(f"{taken} {refused} {taken}"))
    assert [(it.updates, it.skipped) for it in loop.iterations] == [(1, 0), (0, 1), (1, 0)]
    assert rows(loop)[1]["optimizer"] == 3


def test_a_closure_lies_inside_the_optimizers_step() -> None:
    closure = "[zero +1 ] [forward +10 ] +2 [backward +20 ]"
    step = f"[optimizer +3 {closure} +7 {closure} +4 ]"
    loop = find_loop(log(f"{step} {step} {step}"))
    assert loop.boundary == "optimizer"
    assert len(loop.iterations) == 3
    assert rows(loop)[1] == {
        "optimizer": 3 + 7 + 4, "other": 2, "forward": 20, "loss": 4, "backward": 40,
    }  # fmt: skip


def test_forwards_without_gradients_in_every_step_are_a_rollout() -> None:
    rollout, training = "[quiet +5 ] +1 [quiet +5 ] +1", "[forward +6 ] +1 [forward +6 ] +2"
    step = f"{rollout} {training} [backward +9 ] [optimizer +3 ]"
    loop = find_loop(log(f"{step} {step} {step} {step}"))
    assert loop.evaluation_batches == 0
    assert [row["rollout"] for row in rows(loop)] == [12.0] * 4
    assert rows(loop)[2]["forward"] == 13


def test_joining_what_a_root_returned_timestep_by_timestep_is_forward() -> None:
    step = "[forward +6 ] +1 [forward +6 ] +2 [join +5 ] +3 [backward +9 ] [optimizer +4 ]"
    row = rows(find_loop(log(f"{step} {step} {step}")))[1]
    assert row["forward"] == 6 + 1 + 6 + 2 + 5
    assert row["loss"] == 3


def test_a_gradient_taken_inside_a_forward_is_no_round() -> None:
    step = "[forward +2 [backward +3 ] +1 ] +1 [backward +9 ] [optimizer +4 ]"
    loop = find_loop(log(f"{step} {step} {step}"))
    assert [iteration.rounds for iteration in loop.iterations] == [1, 1, 1]


def test_a_step_that_trains_inside_a_forward_has_its_rounds() -> None:
    step = "[forward +2 [backward +3 ] +1 ] [optimizer +4 ]"
    loop = find_loop(log(f"{step} {step} {step}"))
    assert [iteration.rounds for iteration in loop.iterations] == [1, 1, 1]


def test_two_optimizers_make_one_step() -> None:
    critic = "[forward:1 +5 ] [backward +6 ] [optimizer:7 +2 ]"
    actor = "[forward:2 +5 ] [backward +6 ] [optimizer:8 +2 ]"
    loop = find_loop(log(f"{critic} {actor} {critic} {actor} {critic} {actor}"))
    assert [iteration.updates for iteration in loop.iterations] == [2, 2, 2]


def test_without_an_optimizer_a_backward_ends_a_step() -> None:
    loop = find_loop(log("[forward +5 ] [backward +6 ] +9 [forward +5 ] [backward +6 ] +9"))
    assert loop.boundary == "backward"
    assert len(loop.iterations) == 2


def test_inference_alone() -> None:
    step = "[fetch +3 ] [quiet +5 ] +1"
    loop = find_loop(log(f"{step} {step} {step}"))
    assert len(loop.iterations) == 3
    assert rows(loop)[0] == {"data": 3, "forward": 5, "other": 1}


def test_an_exception_leaves_its_step_unfinished_and_the_one_before_as_it_was() -> None:
    broken = "[fetch +3 ] [forward +4 ]failed"
    loop = find_loop(log(f"{STEP} {STEP} {broken}"))
    assert [iteration.finished for iteration in loop.iterations] == [True, True, False]
    assert rows(loop)[1]["forward"] == 10


def test_a_retry_after_an_exception_inside_a_closure() -> None:
    good = "[optimizer +1 [zero +1 ] [forward +5 ] [backward +6 ] +1 ]"
    events = log(f"{good} [optimizer +1 [zero +1 ] [forward +5 ]failed ]failed {good} {good}")
    assert [it.updates for it in find_loop(events).iterations if it.finished] == [1, 1, 1]

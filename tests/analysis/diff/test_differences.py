"""What changed between two recordings, against pairs whose difference is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diff_recordings import again, base, contended, held_up, longer, slower, slower_along, wider
from example_recordings import accelerator, change_trial, cpu_fused, nothing_measured
from html_results import compared, profiled

from seqprof.analysis.diff.differences import CaseChange, Differences, find_differences
from seqprof.analysis.diff.differences_in_words import in_words
from seqprof.errors import SeqprofError
from seqprof.recording import Recording


def differences(new: Recording, old: Recording | None = None) -> Differences:
    return find_differences([old or base()], [new])


def case(new: Recording, old: Recording | None = None) -> CaseChange:
    (found,) = differences(new, old).cases
    return found


def settings(found: Differences) -> dict[str, tuple[object, object]]:
    return {c.key: (c.base, c.new) for c in (*found.spec, *found.environment)}


# Settings -------------------------------------------------------------------------------------


def test_nothing_is_said_to_have_changed_where_nothing_did() -> None:
    assert settings(differences(again())) == {}


def test_a_changed_key_is_named_with_both_values() -> None:
    assert settings(differences(wider())) == {"model.hidden_size": (256, 512)}


def test_a_key_that_one_seqprof_did_not_know_counts_if_it_says_something() -> None:
    old = base()
    of_model = {**old.spec["model"], "dropout": None, "bidirectional": False, "heads": 4}
    newer = replace(old, spec={**old.spec, "model": of_model})
    assert settings(differences(newer)) == {"model.heads": (None, 4)}
    assert settings(differences(old, newer)) == {"model.heads": (4, None)}


def test_software_commit_and_load_are_told() -> None:
    changed = replace(
        contended(base()),
        environment=replace(
            base().environment, torch="2.14.0", commit="beef", libraries={"numpy": "2.4.0"}
        ),
    )
    assert settings(differences(changed)) == {
        "environment.commit": ("0123abcd+", "beef"),
        "environment.torch": ("2.13.0", "2.14.0"),
        "environment.libraries.numpy": ("2.3.1", "2.4.0"),
        "environment.other_load_cores": (0.0, 1.0),
    }


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (longer, "timesteps T: 64 → 128"),
        (accelerator, "device: cpu: AMD EPYC 7B13 → cuda: NVIDIA H100 80GB HBM3"),
        (lambda: change_work(batch_size=8), "batch size: 16 → 8"),
        (lambda: change_work(model="gru"), "model: lstm → gru"),
        (lambda: change_environment(threads=1), "threads: 2 → 1"),
        (lambda: change_environment(cpu="Intel"), "processor: AMD EPYC 7B13 → Intel"),
        (lambda: compared().recording, "kind of recording: run → compare"),
    ],
)
def test_what_makes_two_runs_incomparable(new: object, why: str) -> None:
    assert callable(new)
    assert why in differences(new()).incomparable


def change_work(**changes: object) -> Recording:
    work = base().trials[0].workload
    return change_trial(base(), workload=replace(work, **changes))  # type: ignore[arg-type]


def change_environment(**changes: object) -> Recording:
    environment = replace(base().environment, **changes)  # type: ignore[arg-type]
    return replace(base(), environment=environment)


def test_what_does_not_make_them_incomparable() -> None:
    for new in (again(), wider(), contended(again()), cpu_fused()):
        assert differences(new).incomparable == ()


def test_runs_of_one_side_must_be_alike() -> None:
    found = find_differences([base(), wider()], [again()])
    assert found.incomparable == (
        "the base recordings differ among themselves: model.hidden_size: 256 → 512",
    )


def test_a_recording_without_a_trial_is_refused() -> None:
    with pytest.raises(SeqprofError, match="holds no trial"):
        differences(replace(base(), trials=()))


# Metrics --------------------------------------------------------------------------------------


def test_the_same_program_again_is_not_slower() -> None:
    found = case(again())
    step = found.find("step_time")
    assert step.ratio.value == pytest.approx(1.0, abs=0.02)
    assert step.verdict == "equivalent"
    assert not any(metric.moved for metric in found.metrics)


def test_a_slower_phase_is_found_and_only_that() -> None:
    found = case(slower({"backward": 1.5}))
    assert found.find("phase_time.backward").verdict == "slower"
    assert found.find("phase_time.backward").ratio.value == pytest.approx(1.5, rel=0.02)
    assert found.find("phase_time.forward").verdict == "equivalent"
    expected = (0.1374 + 0.5 * 0.0792) / 0.1374
    assert found.find("step_time").ratio.value == pytest.approx(expected, rel=0.02)
    assert found.find("step_time").verdict == "slower"
    assert found.find("throughput").verdict == "slower"
    assert found.find("throughput").ratio.value == pytest.approx(1 / expected, rel=0.02)
    assert found.find("loop_time.backward.body.layers.0.cell").verdict == "slower"


def test_every_ratio_of_a_time_has_an_interval_that_holds_it() -> None:
    for metric in case(slower({"forward": 1.2})).metrics:
        if metric.metric in ("step_time", "phase_time", "throughput", "loop_time"):
            ratio = metric.ratio
            assert ratio.low is not None
            assert ratio.value is not None
            assert ratio.high is not None
            assert ratio.low < ratio.value < ratio.high


def test_counts_do_not_scatter() -> None:
    trial = base().trials[0]
    more = tuple(
        replace(account, operations=(account.operations or 0) + 1) for account in trial.accounts
    )
    found = case(change_trial(base(), accounts=more))
    assert found.find("operations.forward").verdict == "more"
    assert case(again()).find("operations.forward").verdict == "equivalent"


def test_what_only_one_run_measured_is_said_and_has_no_ratio() -> None:
    found = differences(change_trial(base(), accounts=()))
    memory = found.cases[0].find("peak_memory.forward")
    assert memory.ratio.value is None
    assert memory.ratio.reason
    assert any(
        sentence.startswith("Not compared, null in new") and "peak_memory.forward" in sentence
        for sentence in in_words(found)
    )


def test_nothing_measured_breaks_nothing() -> None:
    found = differences(nothing_measured())
    step = found.cases[0].find("step_time")
    assert step.ratio.value is None
    assert "null in new: Ctrl-C" in str(step.ratio.reason)
    assert any(line.startswith("The step cannot be compared") for line in in_words(found))


def test_under_load_the_processor_time_has_to_agree() -> None:
    """Steps that lasted longer while the processor worked no longer were held up by others."""
    found = differences(held_up(1.6))
    step = found.cases[0].find("step_time")
    assert step.ratio.low is not None
    assert step.ratio.low > 1.0
    assert step.verdict == "inconclusive"
    (sentence,) = (s for s in in_words(found) if s.startswith("Inconclusive"))
    assert "its processor time, which other programs change less, is" in sentence
    worked = differences(contended(slower({"forward": 1.6, "backward": 1.6})))
    assert worked.cases[0].find("step_time").verdict == "slower"


def test_processor_times_by_different_clocks_have_no_ratio() -> None:
    """And say nothing for or against a slower step, which then is not told from a busy machine."""
    old = change_trial(base(), cpu_clock="process")
    assert case(again(), old).find("step_cpu_time").ratio.value is None
    assert "by those of its threads" in str(case(again(), old).find("step_cpu_time").ratio.reason)
    new = slower({"forward": 1.6, "backward": 1.6})
    assert case(new, old).find("step_time").verdict == "slower"
    assert case(contended(new), old).find("step_time").verdict == "inconclusive"


# Along the sequence ---------------------------------------------------------------------------


def test_the_stretch_that_became_slower_is_found_and_no_other() -> None:
    found = case(slower_along(48, 63, 1.5))
    by_phase = {loop.phase: loop for loop in found.loops}
    bins = [b for b in by_phase["backward"].bins if b.stands_out]
    assert bins
    assert all(b.last >= 48 for b in bins)
    assert {t for b in bins for t in range(b.first, b.last + 1)} >= set(range(53, 64))
    assert not any(b.stands_out for b in by_phase["forward"].bins)
    sentences = in_words(differences(slower_along(48, 63, 1.5)))
    assert any("BPTT (host clock): slower at timesteps 48" in s for s in sentences)


def test_a_single_timestep_that_became_slower_is_named() -> None:
    (loop,) = (x for x in case(slower_along(17, 17, 2.0)).loops if x.phase == "backward")
    assert [change.timestep for change in loop.slower] == [17]
    assert loop.slower[0].ratio == pytest.approx(2.0, rel=0.1)
    assert loop.slower_timesteps == 1


def test_what_is_slower_everywhere_stands_out_nowhere() -> None:
    (loop,) = (x for x in case(slower_along(0, 63, 1.5)).loops if x.phase == "backward")
    assert loop.typical.value == pytest.approx(1.5, rel=0.03)
    assert not any(b.stands_out for b in loop.bins)
    assert loop.slower == ()


def test_what_became_faster_less_than_the_rest_is_not_called_slower() -> None:
    """All timesteps at half of their latency, but one that stayed as it was."""
    trial = slower_along(0, 63, 0.5).trials[0]
    own = {x.phase: x for x in base().trials[0].latencies}
    mixed = []
    for found in trial.latencies:
        stayed: dict[str, Any] = {
            name: (*getattr(found, name)[:63], getattr(own[found.phase], name)[63])
            for name in ("p05_s", "p25_s", "p50_s", "p75_s", "p95_s", "mean_s")
        }
        mixed.append(replace(found, **stayed))
    (loop,) = (
        x
        for x in case(change_trial(again(), latencies=tuple(mixed))).loops
        if x.phase == "backward"
    )
    assert loop.typical.value == pytest.approx(0.5, rel=0.03)
    assert loop.slower == ()
    assert not any(b.stands_out for b in loop.bins)


def test_loops_that_cannot_be_compared_are_named_with_the_reason() -> None:
    found = case(cpu_fused())
    assert found.loops == ()
    assert len(found.loops_absent) == 2
    assert "is in the base only" in found.loops_absent[0]


# Idle by cause, several candidates ------------------------------------------------------------


def test_idle_by_cause_is_compared_where_both_have_a_timeline() -> None:
    result = profiled("body.layers.0.cell")
    found = case(result, result)
    assert found.idle
    assert all(part.base_s == part.new_s for part in found.idle)
    one_sided = case(result, base())
    assert one_sided.idle == ()
    assert "no kernel timeline in the base" in str(one_sided.idle_reason)


def test_candidates_are_held_against_those_of_the_same_label_and_length() -> None:
    recording = compared().recording
    assert recording is not None
    found = differences(recording, recording)
    labels = [(c.label, c.timesteps) for c in found.cases]
    assert labels == [
        (candidate.label, trial.workload.timesteps)
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    ]
    assert found.unmatched == ()
    fewer = replace(recording, candidates=recording.candidates[:1], trials=recording.trials[:1])
    missing = differences(fewer, recording).unmatched
    assert len(missing) == len(recording.trials) - 1
    assert all(line.endswith("in the base only") for line in missing)

"""The exposition as Prometheus' own programs read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from example_recordings import ALL, accelerator
from format_results import HOSTILE, hostile_run, small, small_accelerator
from html_results import every_kind

from seqprof.reports.escaping import one_line
from seqprof.reports.exports.prometheus import PROMETHEUS
from seqprof.reports.formats import Result, result_of

_LINE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(*results: Result) -> Samples:
    """Parse by the format's grammar: HELP, TYPE, then all samples of the family, each once."""
    found: Samples = {}
    seen: list[str] = []
    document = PROMETHEUS.render(results).decode()
    assert document.endswith("\n")
    for line in document.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in seen, f"{name}: its samples do not stand together"
            seen.append(name)
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {seen[-1]} gauge"
        else:
            match = _LINE.fullmatch(line)
            assert match is not None, line
            assert match[1] == seen[-1]
            labels = frozenset(
                (label, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text))
                for label, text in _LABEL.findall(match[2])
            )
            assert (match[1], labels) not in found, line
            found[match[1], labels] = float(match[3])
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    (match,) = (
        number
        for (family, own), number in found.items()
        if family == name and labels.items() <= dict(own).items()
    )
    return match


@pytest.mark.parametrize("name", ALL)
def test_grammar_and_units(name: str) -> None:
    found = samples(result_of(ALL[name](), f"{name}.json"))
    units = ("_seconds", "_bytes", "_ratio", "_watts", "_joules", "_per_second")
    plain = {"info", "timesteps", "batch_size", "parameters", "caveats", "operations"}
    for family, _ in found:
        assert family.startswith("seqprof_")
        bare = re.sub("^seqprof_|_(low|high)$", "", family)
        counted = bare in plain or bare.endswith(("_operations", "_exponent"))
        assert family.endswith(units) or counted, family


def test_values_are_those_of_the_summary() -> None:
    result = result_of(small_accelerator(), "gpu.json")
    found, summary = samples(result), result.summary
    assert value(found, "seqprof_step_time_seconds", run="gpu.json") == summary.step.value
    assert value(found, "seqprof_step_time_low_seconds") == summary.step.low
    dwelt = samples(result_of(accelerator(), "gpu.json"))
    assert value(dwelt, "seqprof_nvml_utilization_ratio", phase="forward") == (pytest.approx(0.22))
    assert value(found, "seqprof_timestep_latency_seconds", phase="backward", clock="device") == (
        next(o.p50.value for o in summary.loops if (o.phase, o.clock) == ("backward", "device"))
    )
    assert value(found, "seqprof_idle_time_by_cause_seconds", phase="step", cause="launch") == 0.004
    warnings = [caveat for caveat in summary.caveats if caveat.severity == "warning"]
    assert value(found, "seqprof_caveats", severity="warning") == len(warnings) > 0
    assert value(found, "seqprof_created_timestamp_seconds") == 1_795_365_600


def test_what_was_not_measured_has_no_sample() -> None:
    families = {family for family, _ in samples(result_of(ALL["nvml_failed"](), "n.json"))}
    assert "seqprof_nvml_utilization_ratio" not in families
    assert "seqprof_step_time_seconds" in families
    nothing = {f for f, _ in samples(result_of(ALL["nothing_measured"](), "n.json"))}
    assert "seqprof_step_time_seconds" not in nothing
    assert "seqprof_caveats" in nothing


def test_no_series_for_each_timestep() -> None:
    long, short = (len(samples(result_of(ALL[n](), "x"))) for n in ("long", "accelerator"))
    assert long <= short


def test_several_runs_and_a_comparison(tmp_path: Path) -> None:
    compared = every_kind(tmp_path)["compare"]
    found = samples(small("run", tmp_path), result_of(accelerator(), "gpu.json"), compared)
    for run in ("run.json", "gpu.json"):
        assert value(found, "seqprof_step_time_seconds", run=run) > 0
    against = {"candidate": "attention", "against": "lstm", "seq_len": "64"}
    ratio = compared.summary.lengths[0].candidates[1].against_baseline.ratio
    assert value(found, "seqprof_step_time_ratio", **against) == ratio.value
    assert value(found, "seqprof_step_time_high_ratio", **against) == ratio.high


def test_hostile_labels_come_back() -> None:
    found = samples(hostile_run())
    told = {text for _, labels in found for label, text in labels if label == "run"}
    assert told == {one_line(HOSTILE)}
    assert any(('"quoted"' in t and "\\n" in t) for t in told)


# Prometheus' own readers ----------------------------------------------------------------------


def every(tmp_path: Path) -> list[Result]:
    made = [result_of(make(), f"{name}.json") for name, make in ALL.items()]
    several = every_kind(tmp_path)
    return [*made, hostile_run(), several["compare"], several["scale"]]


def test_prometheus_client_reads_it(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    results = every(tmp_path)
    read = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(PROMETHEUS.render(results).decode())
        for sample in family.samples
    }
    assert read == samples(*results)


def test_promtool_accepts_it(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=PROMETHEUS.render(every(tmp_path)),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

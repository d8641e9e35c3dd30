"""A part of a session whose time is over: what it offered by then is shown, and says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[1] / "data" / "h100" / "recordings" / "run_fused.json"
#: A process of its own: pytest's has imported torch, beside which no child is forked.
JOB = """
import json, sys, time
from pathlib import Path
from seqprof import store
from seqprof.analysis.run.caveats.incidents import INCIDENTS
from seqprof.measure.aside import do_aside
from seqprof.measure.outcome import NoProgress

recording = store.load(Path(sys.argv[2]))

def job(tell):
    tell.stage("pairs", None)
    if sys.argv[1] == "offers":
        tell.keep(lambda: recording, at_once=True)
    time.sleep(60)

aside = do_aside(job, NoProgress(), 1.0, lambda part: None)
made = None if aside.offered is None else aside.offered.trials[0].incidents[-1]
print(json.dumps([aside.hung, aside.reason, made and made.kind, made and INCIDENTS[made.kind][1]]))
"""


@pytest.mark.parametrize("what", ["offers", "hangs"])
def test_time_that_is_over_is_no_hang_of_a_model_that_trains(what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB, what, str(RECORDED)],
        check=True, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    hung, reason, kind, title = json.loads(done.stdout)
    if what == "hangs":
        assert hung
        assert "had not ended" in reason
        assert kind is None
    else:
        assert not hung
        assert "at: pairs" in reason
        assert kind == "cut_short"
        assert "time for this part was over" in title

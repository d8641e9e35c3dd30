"""First thing that runs in the script's interpreter: Python imports it at its start.

This folder stands first on PYTHONPATH. What the script sees is as without it: the folder is taken
off ``sys.path``, and a ``sitecustomize`` that was there before is run as it would have been.
"""

import sys
from importlib import import_module


def _step_aside() -> None:
    """Take this folder off the path and run the `sitecustomize` that it hid, if there is one."""
    folder = __file__.rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if own is not None:  # Python takes the module from here once this import is done
            sys.modules["sitecustomize"] = own


def _start_agent() -> None:
    """Load seqprof's agent from its own folder, whatever this interpreter has installed."""
    import os

    if "SEQPROF_ATTACH" not in os.environ:
        return
    try:
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from importlib.util import module_from_spec, spec_from_file_location

        where = os.path.join(root, "attach", "arrive.py")
        spec = spec_from_file_location("_seqprof_arrive", where)
        assert spec is not None
        assert spec.loader is not None
        arrive = module_from_spec(spec)
        spec.loader.exec_module(arrive)
        arrive.wait_for_torch(root)
    except Exception as error:  # the script must start, whatever is wrong here
        print(f"seqprof: cannot watch this process: {error!r}", file=sys.stderr)


_start_agent()
_step_aside()

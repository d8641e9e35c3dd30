"""The sample configs that come with seqprof: one spec for each thing one would first profile.

They live in ``sample_configs/`` of the repository; a wheel holds that folder inside the package.
"""

from __future__ import annotations

from pathlib import Path

from seqprof.errors import SeqprofError
from seqprof.suggest import did_you_mean

#: What a word on the command line begins with that names one of them.
PREFIX = "@"
_INSTALLED = Path(__file__).parent / "sample_configs"
_IN_REPOSITORY = Path(__file__).parents[1] / "sample_configs"


def folder() -> Path:
    """Return the folder of the sample configs and of the files that they need.

    Raises:
        SeqprofError: this installation lacks them.
    """
    for candidate in (_INSTALLED, _IN_REPOSITORY):
        if (candidate / "lstm.yaml").is_file():
            return candidate
    raise SeqprofError(
        f"this installation lacks the sample configs ({_INSTALLED})",
        "pip install --force-reinstall --no-deps seqprof",
        exit_code=1,
    )


def names() -> list[str]:
    """Return the names of the sample configs, without the ``@``."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def path_of(name: str) -> Path:
    """Return the file of the sample config ``name``.

    Raises:
        SeqprofError: there is none of that name.
    """
    known = names()
    if name not in known:
        listed = [PREFIX + one for one in known]
        raise SeqprofError(
            f"no sample config is called {PREFIX}{name}{did_you_mean(PREFIX + name, listed)}",
            "`seqprof list configs` says what each is for",
        )
    return folder() / f"{name}.yaml"


def purpose(name: str) -> str:
    """Return the first sentence of the comment at the top of a sample config."""
    lines = path_of(name).read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        if not line.startswith("# yaml-language-server:"):
            comment.append(line.removeprefix("#").strip())
    text = " ".join(comment)
    ends = [text.find(end) + 1 for end in (". ", "? ") if end in text]
    return text[: min(ends, default=len(text))].rstrip(".:")

"""The command that was given, once more with a setting changed: what a report says to type."""

from __future__ import annotations

import re
import shlex

from seqprof.recording import Recording

_FORM = re.compile(r"[a-z][\w-]*@[a-z]+")
#: Options that say where results go; the next run must not write over them.
_WITH_FILE = ("-o", "--output", "-f", "--format", "--trace", "--append", "--log")
#: Options of `exec` with a value of their own.
_WITH_VALUE = (*_WITH_FILE, "--steps", "--warmup", "--every", "--budget")
_ALONE = ("--json", "-q", "--quiet")


def again(recording: Recording, *overrides: str, command: str | None = None) -> str:
    """Return the command of ``recording`` with more ``--set``, and without its output.

    A form that a word names, as ``lstm@fused``, is replaced there: `run` refuses two forms.

    Args:
        overrides: ``a.b=value``.
        command: another one of seqprof that takes the same model and settings; None: the same.
    """
    words = _without_output(_words(recording.command) or ["seqprof", "run"])
    if command is not None and len(words) > 1:
        words[1] = command
    for override in overrides:
        key, _, value = override.partition("=")
        forms = [i for i, word in enumerate(words) if _FORM.fullmatch(word)]
        if key == "model.execution" and forms:
            words[forms[0]] = f"{words[forms[0]].partition('@')[0]}@{value}"
        else:
            words += ["--set", override]
    return shlex.join(words)


def exec_again(recording: Recording, *options: str) -> str | None:
    """Return the `exec` command of ``recording`` with ``options`` and without its output.

    What follows the options is the script's, whatever it looks like. None: it was no `exec`.
    """
    words = _words(recording.command)
    if words[:2] != ["seqprof", "exec"]:
        return None
    own, script = _own_and_script(words[2:])
    return shlex.join(["seqprof", "exec", *_without_output(own), *options, "--", *script])


def _own_and_script(words: list[str]) -> tuple[list[str], list[str]]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            return words[:at], words[at + 1 :]
        at += 2 if words[at] in _WITH_VALUE else 1
    return words[:at], words[at:]


def _without_output(words: list[str]) -> list[str]:
    left: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _WITH_FILE:
            skip = True
        elif word not in _ALONE and word.partition("=")[0] not in _WITH_FILE:
            left.append(word)
    return left


def _words(command: str) -> list[str]:
    """Split a command line; a recording from elsewhere may hold one that is none."""
    try:
        return shlex.split(command)
    except ValueError:
        return []

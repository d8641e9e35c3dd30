"""What pyproject.toml cannot say: where the samples go, and a README that renders elsewhere.

sample_configs/ goes into the package as seqprof/sample_configs, so the samples have one place in
the repository, and an installation has them too.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

_SAMPLES = "seqprof.sample_configs"


def portable_readme() -> str:
    """Return the README without what leads nowhere outside the repository.

    No address of the repository is known, so a relative link becomes its text and its path, and a
    picture goes.
    """
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"^!\[[^\]]*\]\((?!\w+://)[^)]*\)\n*", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\((?!\w+://|#)([^)\s]+)\)", _as_text, text)


def _as_text(link: re.Match[str]) -> str:
    return link[1] if link[1] == link[2] else f"{link[1]} (`{link[2]}`)"


setup(
    long_description=portable_readme(),
    long_description_content_type="text/markdown",
    packages=[*find_packages(include=["seqprof", "seqprof.*"]), _SAMPLES],
    package_dir={_SAMPLES: "sample_configs"},
    package_data={
        # bootstrap/ is no package: it goes on the path of a script, as a folder
        "seqprof": [
            "py.typed",
            "attach/bootstrap/*.py",
            "reports/**/templates/*.j2",
            "reports/exports/dashboards/shipped/*.json",
            "reports/**/static/*",
        ],
        _SAMPLES: ["*"],
    },
)

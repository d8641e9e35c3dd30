"""python -m simaccel FOLDER: prints the exports for a shell. Site and log lie in FOLDER."""

import shlex
import sys
from pathlib import Path

from .environment import variables, write_site


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    write_site(folder / "site")
    for name, value in variables(folder / "site", folder / "busy.log").items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()

"""python -m simaccel.compile_extension FOLDER: compiles accelerator/*.cpp to an extension there."""

import sys
from pathlib import Path

import torch
from torch.utils.cpp_extension import load

from .build import EXTENSION_NAME, HERE


def main() -> None:
    sources = sorted(str(path) for path in (HERE / "accelerator").glob("*.cpp"))
    load(
        EXTENSION_NAME,
        sources,
        extra_cflags=["-O1", "-std=c++20", "-Wall", "-DAT_PER_OPERATOR_HEADERS"],
        # Kineto's own headers include each other by name (torch 2.13 has them).
        extra_include_paths=[str(Path(torch.__file__).parent / "include" / "kineto")],
        build_directory=sys.argv[1],
    )


if __name__ == "__main__":
    main()

"""Writes the dashboards that the package ships: python docs/scripts/dashboards.py."""

from __future__ import annotations

from pathlib import Path

from seqprof.reports.exports.dashboards import grafana


def main() -> None:
    """Write what the code builds; a test fails until that was done."""
    folder = Path(grafana.__file__).parent / "shipped"
    folder.mkdir(exist_ok=True)
    for name, content in grafana.build().items():
        (folder / name).write_bytes(content)
        print(f"written: {folder / name}")


if __name__ == "__main__":
    main()

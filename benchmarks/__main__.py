"""`make bench`: every measurement in one run on one machine, as a table or as JSON."""

import json
import os
import platform
import sys

from benchmarks import bench_bus, bench_live, bench_sim

AIMS = {
    "hub_to_relay_ratio": "at most 1.25",
    "curve_call_ratio": "at most 1.15",
    "curve_cycle_ratio": "at most 1.15",
    "hub_turns_per_s": "15,000",
    "sim board messages/s": "100,000",
    "sim cycles/s with properties": "60",
    "sim to simloom ratio": "at least 3",
}
"""What the figures are aimed at, where there is an aim."""


def main() -> None:
    """Measure and print."""
    figures: dict[str, float | str] = {}
    for suite in (bench_bus, bench_sim, bench_live):
        print(f"measuring {suite.__name__} ...", file=sys.stderr)
        figures |= suite.run()
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures, indent=2))
        return
    cores = os.cpu_count()
    print(f"Python {platform.python_version()}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    width = max(map(len, figures))
    for name, value in figures.items():
        aim = f"   (aim: {AIMS[name]})" if name in AIMS else ""
        shown = value if isinstance(value, str) else f"{value:12,.2f}"
        print(f"{name:{width}}  {shown}{aim}")


if __name__ == "__main__":
    main()

"""A plan's minutes against those of the run: the same study under another seed.

Run it on a store that holds the finished study; nothing of it can be reused under the new seed, so
that every stage's estimate is put to the test. What goes through `--` is handed to both commands.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from measuring import print_machine

from flowers17.estimates import Estimate, cost_sentence, run_seconds


def main() -> None:
    """Plan, run, and print both times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="study")
    parser.add_argument("--seed", type=int, default=18, help="that the store does not know yet")
    parser.add_argument("options", nargs="*", help="of both commands, after `--`")
    arguments = parser.parse_args()
    command = [str(Path(sys.executable).with_name("flowers17"))]
    rest = [arguments.flow, *arguments.options, "--set", f"seed={arguments.seed}"]
    planned = subprocess.run(
        [*command, "plan", *rest, "--json"], check=True, capture_output=True, text=True
    )
    steps = json.loads(planned.stdout)
    costs = [Estimate(**step["estimate"]) for step in steps if step["estimate"]]
    print_machine()
    print(f"{len(costs)} of {len(steps)} stages to be built: {cost_sentence(costs)}")
    started = time.monotonic()
    subprocess.run([*command, "run", *rest], check=True, stderr=subprocess.DEVNULL)
    actual, expected = time.monotonic() - started, run_seconds(costs)
    print(f"expected {expected:.0f} s, took {actual:.0f} s: {expected / actual:.2f} of it")


if __name__ == "__main__":
    main()

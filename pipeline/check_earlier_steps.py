"""Whether what each step reads is there, or will be made by a step that runs before it."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.step_table import OUTPUTS, STEPS

# Of these steps the user has no other folder to give than the one the earlier step writes.
READS_EARLIER_STEPS = ("2", "3", "4", "5", "6a", "6b")


def check_earlier_steps(calls: list[tuple[str, str, dict]]) -> list[str]:
    """Return one problem for each step left out whose output a later one needs and is not there.

    ``calls`` are the (number, step name, keywords) of the steps that will run.
    """
    run = {number for number, _, _ in calls}
    problems = {}
    for number, _, keywords in calls:
        for earlier in _needs(number, keywords):
            patterns = [
                pattern for pattern in OUTPUTS[earlier] if _can_be_filled(pattern, keywords)
            ]
            folders = [Path(pattern.format(**keywords)) for pattern in patterns]
            if earlier in run or earlier in problems or not folders:
                continue
            if not any(_holds_something(folder) for folder in folders):
                problems[earlier] = (
                    f"Step {number} ({STEPS[number][0]}) needs what step {earlier} "
                    f"({STEPS[earlier][0]}) makes, but {folders[0]} holds nothing, and step "
                    f"{earlier} is not to run. Run it too: add {earlier} to the steps named on the "
                    "command line, or call it in StartProcess.py."
                )
    return list(problems.values())


def _needs(number: str, keywords: dict) -> Iterable[str]:
    """Return the steps without whose output this one cannot work."""
    if number not in READS_EARLIER_STEPS:
        return ()
    if number == "2":
        from_wgan = ["1"] if keywords.get("outline_source", "wgan") == "wgan" else []
        return from_wgan + (["0"] if keywords.get("match_scenes") else [])
    return STEPS[number][2]


def _can_be_filled(pattern: str, keywords: dict) -> bool:
    try:
        pattern.format(**keywords)
    except KeyError:
        return False
    return True


def _holds_something(path: Path) -> bool:
    if "*" in path.parts:
        return any(path.parents[1].glob("/".join(path.parts[-2:])))
    return path.is_dir() and any(path.iterdir())

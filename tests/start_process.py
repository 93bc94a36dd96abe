"""The options and step calls as they stand in StartProcess.py, without running it."""

import ast
import contextlib
import os
from pathlib import Path

from pipeline.running.step_table import STEPS

SOURCE = Path(__file__).resolve().parents[1] / "StartProcess.py"


def published(*, published: object, quick: object) -> object:
    """Stand for the preset: take the published value."""
    return published


def quick(*, published: object, quick: object) -> object:
    """Stand for the other preset."""
    return quick


def default_options(root_dir: Path | None = None, preset=published) -> dict[str, object]:
    """Return the options with the preset's values, with ROOT_DIR replaced if it is given."""
    names = {"os": os, "preset": preset}
    options = {}
    for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id.isupper():
            exec(compile(ast.Module([node], []), SOURCE.name, "exec"), names)
            name = node.targets[0].id
            if name == "ROOT_DIR" and root_dir is not None:
                names[name] = str(root_dir)
            options[name] = names[name]
    return options


def device_options() -> dict[str, object]:
    """Return the default options that every run hands to the process of a step."""
    names = ("USE_GPUS_NO", "ALLOW_MEMORY_GROWTH", "DETERMINISTIC", "USE_XLA")
    options = default_options()
    return {name: options[name] for name in names}


def default_calls(options: dict[str, object], preset=published) -> list[tuple[str, str, dict]]:
    """Return (number, step name, keywords) of all step calls, made from the options."""
    (steps,) = (
        node
        for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    )
    names = {"preset": preset, **options}
    exec(compile(ast.Module([steps], []), SOURCE.name, "exec"), names)
    calls = []
    names[steps.name](
        lambda number, step_name, **keywords: calls.append((number, step_name, keywords))
    )
    return calls


def leave_outputs(number: str, keywords: dict[str, object]) -> None:
    """Leave an empty file in each place where this step leaves its output."""
    for pattern in STEPS[number].leaves:
        with contextlib.suppress(KeyError):
            path = Path(pattern.format(**keywords).replace("*", "2026-01-31_12-00-00"))
            path = path if path.suffix else path / "00000.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

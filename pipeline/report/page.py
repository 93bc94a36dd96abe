"""The report of a run: one HTML page that needs nothing else, made from the run's own files."""

from html import escape
from pathlib import Path
from string import Template

from pipeline.files.csv_tables import read_table
from pipeline.files.records import read_json
from pipeline.files.whole_files import whole_file
from pipeline.report.parts import (
    number,
    numbers,
    options_list,
    picture,
    section,
    table,
    words,
)
from pipeline.report.pictures import jpeg_uri
from pipeline.report.scores import score_section
from pipeline.report.sizes import size_section
from pipeline.report.training import (
    CYCLEGAN,
    preview_section,
    runs_of_masks,
    scene_section,
    training_section,
)
from pipeline.results.overlays import BORDER_COLOUR, FILTERED_COLOUR, KEPT_COLOUR
from pipeline.run_folders import OPTIONS_RECORD
from pipeline.running.step_warnings import place_of
from pipeline.wording import counted

# A page of 20 MB opens everywhere; base64 makes 4 bytes of 3.
GALLERY_BYTES = 10_000_000
LARGEST_PICTURE_BYTES = 300_000
LARGEST_GALLERY = 60
# Of a median: then that without the border correction is told beside it.
LARGE_CORRECTION = 0.1


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into the folder of a finished run of step 7 and return its path.

    It shows what is there: tables, overlays, scores.csv, and of masks that a step made, from the
    networks' folders, the training runs of those that made them, as far as that was noted, else the
    newest ones. What is missing is left out, so it can be called again when there is more.

    Parameters
    ----------
    run_folder : holds particles.csv, images.csv, summary.csv, about.json, ...

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished measurement.
    """
    run_folder = Path(run_folder)
    about = read_json(run_folder / "about.json")
    images, summary = read_table(run_folder / "images.csv"), read_table(run_folder / "summary.csv")
    whole = about is not None and "networks" in about and images and summary
    if not whole or "mean_is" not in summary[0] or "pixel_size_nm" not in images[0]:
        raise FileNotFoundError(
            f"{run_folder} holds no finished measurement of this version (about.json, images.csv, "
            "summary.csv), or another program, such as Excel, has saved a table in its own way. "
            "Run `python StartProcess.py 7 8`."
        )
    folders = {name: run_folder / path for name, path in about["networks"].items()}
    sections = [
        size_section(run_folder, summary, about["unit"]),
        score_section(run_folder),
        section("Overlays", _gallery(run_folder, images)),
        section("Images", _plain_table(images)),
        *_network_sections(folders, about.get("masks_made_with")),
        section("Options and versions", *_options(run_folder, about)),
    ]
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    masks = about.get("masks_folder", "")
    segmented = "Segmented and measured" if about.get("masks_made_with") else "Measured"
    content = page.substitute(
        title=escape(f"Particle sizes, {masks}" if masks else "Particle sizes"),
        heading="Particle sizes",
        subtitle=escape(f"{masks}, measured {about['measured']}".removeprefix(", ")),
        navigation="\n".join(link for link, _ in sections if link),
        body="\n".join(
            [_key_figures(images, summary, about), _warnings(about), *(one for _, one in sections)]
        ),
        footer=f"{segmented} after Ruehle, Krumrey and Hodoroaba, Scientific Reports "
        "(2021), doi 10.1038/s41598-021-84287-6. This page needs no network.",
    )
    with whole_file(run_folder / "report.html") as temporary:
        temporary.write_text(content, encoding="utf-8")
    return run_folder / "report.html"


def _network_sections(folders: dict[str, Path], masks_made_with: dict | None) -> list:
    """Return the sections on the networks that made the masks; masks from elsewhere have none."""
    if not masks_made_with:
        return []
    runs = runs_of_masks(folders, masks_made_with)
    return [
        scene_section(folders[CYCLEGAN], runs),
        training_section(folders, runs),
        preview_section(folders, runs),
    ]


def _key_figures(images: list[dict], summary: list[dict], about: dict) -> str:
    unit = about["unit"]
    by_number = summary[0]

    def interval(name: str) -> str:
        low, high = by_number[f"{name}_ci_low"], by_number[f"{name}_ci_high"]
        limits = f"95 % confidence: {number(low)} to {number(high)}\u00a0{unit}" if low else ""
        without = by_number[f"{name}_uncorrected"]
        if without and abs(float(by_number[name]) / float(without) - 1) > LARGE_CORRECTION:
            limits += f"; {number(without)}\u00a0{unit} without the border correction"
        return limits.removeprefix("; ")

    def value(name: str) -> str:
        text = by_number[name]
        return f"{number(text)} {unit}" if text else "none"

    sizes = list(dict.fromkeys(row["pixel_size_nm"] for row in images))
    sources = list(dict.fromkeys(row["pixel_size_source"] for row in images))
    pixel = " / ".join(f"{float(size):g} nm" if size else "unknown" for size in sizes)
    if len(sizes) > 3:
        known = sorted(float(size) for size in sizes if size)
        pixel = f"{known[0]:g} to {known[-1]:g} nm" + (", some unknown" if "" in sizes else "")
    found = sum(int(row["particles_found"]) for row in images)
    left_out = "".join(f"; {many} {words(name)}" for name, many in _dropped(images).items() if many)
    in_images = counted(len(images), "image")
    how = "equivalent circle, by number"
    figures = [
        ("Particles measured", by_number["n"], f"of {found} found, in {in_images}{left_out}"),
        ("Median diameter D50", value("D50"), "; ".join(filter(None, [how, interval("D50")]))),
        ("Mean diameter", value("mean"), f"{how}; standard deviation {value('sd')}"),
        ("Pixel size", pixel, ", ".join(sources)),
    ]
    entries = "".join(
        f"<div><dt>{name}</dt><dd>{escape(text)}<small>{escape(more)}</small></dd></div>"
        for name, text, more in figures
    )
    return f'<dl class="figures">{entries}</dl>'


def _dropped(images: list[dict]) -> dict[str, int]:
    """Return how many particles were left out, by the columns of images.csv, one a reason."""
    reasons = [name for name in images[0] if name.startswith("dropped_")]
    return {name: sum(int(row[name]) for row in images) for name in reasons}


def _warnings(about: dict) -> str:
    items = [escape(warning) for warning in about["warnings"]]
    for step, messages in about.get("earlier_warnings", {}).items():
        items += [f"<b>{place_of(step)}</b>: {escape(message)}" for message in messages]
    entries = "".join(f"<li>{item}</li>" for item in items)
    heading = '<h2 id="warnings">Warnings</h2>'
    return f'<section class="warnings">{heading}<ul>{entries}</ul></section>' if items else ""


def _plain_table(rows: list[dict]) -> str:
    columns = [numbers([row[name] or "" for row in rows]) for name in rows[0]]
    return table(map(words, rows[0]), zip(*columns, strict=True))


def _gallery(run_folder: Path, images: list[dict]) -> str:
    """Return the overlays, small; of very many, some from the whole series."""
    step = max(-(-len(images) // LARGEST_GALLERY), 1)
    shown = [
        (row, path)
        for row in images[::step]
        if (path := run_folder / "overlays" / f"{Path(row['image']).stem}.png").is_file()
    ]
    if not shown:
        return ""
    largest = min(GALLERY_BYTES // len(shown), LARGEST_PICTURE_BYTES)
    pictures = [
        picture(
            jpeg_uri(path, largest),
            row["image"],
            f"{escape(row['image'])}: {row['particles_measured']} of "
            f"{row['particles_found']} particles measured",
        )
        for row, path in shown
    ]
    colours = {"measured": KEPT_COLOUR}
    reasons = _dropped(images).keys()
    if "dropped_at_border" in reasons:
        colours["left out: cut by the image's edge"] = BORDER_COLOUR
    if reasons - {"dropped_at_border"}:
        colours["left out by a filter"] = FILTERED_COLOUR
    key = "".join(
        f'<li><i style="background: rgb{colour}"></i>{name}</li>'
        for name, colour in colours.items()
    )
    more = f"One in {step} images is shown; the folder overlays has all. " if step > 1 else ""
    return (
        f'<ul class="key">{key}</ul><div class="gallery">{"".join(pictures)}</div>'
        f'<p class="note">{more}<span class="screen">Click to enlarge.</span></p>'
    )


def _options(run_folder: Path, about: dict) -> list[str]:
    options = read_json(run_folder / OPTIONS_RECORD) or {}
    made_with = about.get("masks_made_with")
    segmentation = (
        ["<h3>Masks</h3>", options_list(made_with)] if isinstance(made_with, dict) else []
    )
    return [
        *segmentation,
        "<h3>Measurement</h3>",
        options_list(options),
        "<h3>Versions</h3>",
        options_list(about["versions"]),
    ]

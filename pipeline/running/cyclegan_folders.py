"""Where the CycleGAN's data lie, and what it makes of them: paths below its folder (CYCLEGAN_DIR).

The names are those of the published workflow: A are micrographs, B masks.
"""

# Steps 0 and 2: what the CycleGAN learns from.
DATA = "data"
TILES, TEST_TILES = f"{DATA}/trainA", f"{DATA}/testA"
SIMULATED_MASKS, TEST_MASKS = f"{DATA}/trainB", f"{DATA}/testB"
SIMULATED_LABELS = f"{DATA}/labelsB"
# Of step 0: single particles of the micrographs, and how much of each tile particles cover.
SINGLES, COVERED_SHARES = f"{DATA}/single_particles.csv", f"{DATA}/covered_shares.csv"
SCENES = f"{DATA}/scenes"  # .json and .png
# Step 3, beside its networks.
SHEETS = "images"
# Step 4.
TRANSLATED = "generate_images"
FAKE_MICROGRAPHS, RAW_MASKS = f"{TRANSLATED}/A", f"{TRANSLATED}/B"
# Step 5: what the UNet learns from.
BLURRED_FAKES = f"{TRANSLATED}/A_blurred"
FILTERED_MASKS = f"{TRANSLATED}/Synthetic_Masks_Filtered"
FILTERED_LABELS = f"{TRANSLATED}/Synthetic_Labels_Filtered"
PAIRS_TABLE = f"{TRANSLATED}/pairs.csv"

FOLDERS = (
    *(SHEETS, DATA, TILES, TEST_TILES, SIMULATED_MASKS, TEST_MASKS, SIMULATED_LABELS),
    *(TRANSLATED, FAKE_MICROGRAPHS, RAW_MASKS, BLURRED_FAKES, FILTERED_MASKS, FILTERED_LABELS),
)

"""Segment particles in electron micrographs without a single annotated image.

1. Put the micrographs into Input_Images/ and a few dozen outlines of single particles
   (white on black) into Input_Masks/.
2. Edit the options below.
3. Run `python StartProcess.py`. The masks appear in Output_Masks_UNet/, the measurements in
   Results/. To run single steps, comment out the others at the end of this file, or name them:
   `python StartProcess.py 3 4`.

After Ruehle, Krumrey and Hodoroaba, Scientific Reports (2021), doi 10.1038/s41598-021-84287-6.
"""

import os
import sys

# The deep-learning library that does the work: "tensorflow" or "torch". Both give the same
# workflow. A value already in the environment wins: KERAS_BACKEND=torch python StartProcess.py
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from pipeline.presets import choose_preset
from pipeline.workflow import run_workflow

# "published": sizes and numbers of epochs of the published workflow, for a GPU (its memory: see
# CYCLEGAN_BATCH_SIZE).
# "quick": a first look, the whole workflow on the shipped examples in about 5 minutes on 2 recent
# CPU cores, up to 20 on older ones.
# "auto": published where a GPU is found, quick otherwise; says which. (In a folder with networks of
# the other one it stops and says what to set.)
PRESET = "auto"
# "all", how many (0: the CPU), or a list of their numbers such as [1], the second. One process
# trains on one GPU, the first of the choice.
USE_GPUS_NO = "all"
preset = choose_preset(globals())

# --- General ------------------------------------------------------------------------------------
# Where all folders below are; change it to keep several data sets apart (on Windows, too, with
# slashes: "C:/Users/me/sample 1").
ROOT_DIR = "./"
INPUT_DIR_IMAGES = f"{ROOT_DIR}/Input_Images"  # your micrographs, which are never changed
INPUT_DIR_MASKS = f"{ROOT_DIR}/Input_Masks"  # your outlines of single particles
OUTPUT_DIR_CYCLEGAN = f"{ROOT_DIR}/Output_Masks_CycleGAN"  # masks by the CycleGAN, to compare with
OUTPUT_DIR_UNET = f"{ROOT_DIR}/Output_Masks_UNet"  # the masks that are measured
RESULTS_DIR = f"{ROOT_DIR}/Results"  # tables, plots and report, a folder for each measurement
TRUE_MASKS_DIR = f"{ROOT_DIR}/True_Masks"  # for scoring only; may be missing

# Change these first: a tile should show several whole particles with background beside them, 8 to
# 30 with the values here and in the README, and be no larger than an image (both as the networks
# see them: MICROGRAPH_SCALE).
TILE_SIZE_W = preset(published=384, quick=128)
TILE_SIZE_H = preset(published=384, quick=128)
# Simulated masks, and tiles of your micrographs, to train on, at least: if more tiles show
# particles, all are taken, and all takes longer. More help until the GANs have seen every kind of
# arrangement.
NUM_SIMULATED_MASKS = preset(published=1000, quick=100)
# False: dark particles on a bright background (bright-field TEM).
DARK_BACKGROUND = True
# True where the outlines in Input_Masks are black on white.
INVERT_INPUT_MASKS = False
# True: segment each image as a whole. False: by tiles, when memory is short.
RUN_INFERENCE_ON_WHOLE_IMAGE = True
# Rows to keep, to leave out the microscope's info bar: "auto" finds it, a number keeps so many
# rows from the top, None keeps all.
IMAGE_CROP = "auto"
# The networks see micrographs and outlines enlarged by this factor (below 1: reduced); masks and
# measurements are in the micrographs' own pixels. "auto": 2 to 4 if your outlines are less than 15
# pixels across, so that small particles are told apart; 0.5 to 0.1 if nearly all are more than 40,
# so that a tile shows several; else 1. Published: 1. Particles of less than about 10 pixels as the
# networks see them are mostly missed. Time and memory of steps 4, 5 and 6b grow with its square,
# and so does the number of tiles.
MICROGRAPH_SCALE = "auto"
# Size of a pixel in nm. None: from the file's metadata, where the microscope wrote it.
PIXEL_SIZE_NM = None
# Every random choice follows from it. Change it to see how much a result owes to chance.
SEED = 42
# True: go on where a run was stopped, and skip what is finished, but for steps that are named on
# the command line. False: every step again, all networks trained afresh (what was there is kept
# beside).
RESUME = True
# A training that is killed goes on from its last checkpoint; within long epochs there is one every
# so many minutes, besides one an epoch (of short epochs, one every 15 seconds, and fewer where it
# takes long to write).
CHECKPOINT_MINUTES = 10
# "mixed_bfloat16" takes 40 to 65 % of the memory on GPUs since 2020 (the WGAN 15 %), and half of
# the time of the CycleGAN there; and half to three quarters of the time of large tiles on CPUs that
# multiply it (AMD's since Zen 4, Intel's Xeons since 2023 and a few before); on other CPUs it takes
# 4 to more than 20 times as long.
# "auto": mixed_bfloat16 on such CPUs (on Linux, which tells them), float32 otherwise, GPUs too.
# (With "float32" GPUs since 2020 round the inputs of convolutions to 10 bits, their TF32 format.)
PRECISION = preset(published="float32", quick="auto")
# What to do if a network has learned nothing, or simulated masks are all empty or all full: "stop"
# with advice, or "warn" and go on.
WHEN_A_NETWORK_FAILS = "stop"

# --- Devices ------------------------------------------------------------------------------------
# "auto": on the GPU if the image fits there, on the CPU otherwise. True, False: as said.
USE_GPU_FOR_WHOLE_IMAGE_INFERENCE = "auto"
ALLOW_MEMORY_GROWTH = True  # tensorflow: False takes all GPU memory at once
# True: the same bits every time, and slower: by GPU kernels that repeat themselves; with torch on a
# CPU by one thread. (Like all in this part it makes no finished step run again.)
DETERMINISTIC = False
# tensorflow: compile training steps; "auto": on a GPU, unless DETERMINISTIC, with which True does
# not go.
USE_XLA = "auto"

# --- Step 1: the WGAN learns outlines -----------------------------------------------------------
# Where step 2 takes its outlines from. "wgan", as published: those the WGAN draws. "augmented":
# yours, each time deformed a little; step 1 can be commented out then. At its end step 1 tells
# which are more like yours: with as few epochs as in "quick", the augmented ones.
OUTLINE_SOURCE = preset(published="wgan", quick="augmented")
# Outlines in a training step; each of yours counts four times, flipped. If there are fewer, all.
WGAN_BATCH_SIZE = preset(published=64, quick=16)
# Times it sees all outlines. Raise it until those in 1_WGAN/Output_Images look like yours.
WGAN_EPOCHS = preset(published=1000, quick=10)

# --- Step 2: simulated masks --------------------------------------------------------------------
MAX_PARTICLE_OVERLAP = 0.5  # share of a new particle that may lie on earlier ones; 0.05 for TEM
# True: simulated masks cover as much of a tile, in agglomerates and particles as large, as in your
# micrographs: the noise's threshold and frequency and the particles' scale are measured there, and
# 2_CycleGAN/data/scenes.png shows both. False, as published: as the options of step 2 say.
MATCH_SCENES = True

# --- Step 3: CycleGAN ---------------------------------------------------------------------------
# Tiles a step learns from. Lower it if the GPU's memory does not suffice (with PyTorch 5 need 19 to
# 26 GiB, or 11 in mixed_bfloat16), raise it if there is room.
CYCLEGAN_BATCH_SIZE = preset(published=5, quick=1)
# Times it sees all tiles and masks. Raise it until the fakes in 2_CycleGAN/images fit their masks.
CYCLEGAN_EPOCHS = preset(published=50, quick=10)
# True leads the input around the networks to their output: good where epochs are few.
CYCLEGAN_USE_SKIPS = preset(published=False, quick=True)
CYCLEGAN_FILTERS = preset(published=64, quick=8)  # of the first convolution
GAUSSIAN_BLUR_AMOUNT = 0.0  # sigma in pixels, on the fake micrographs; 0 for none

# --- Step 6: MultiRes UNet ----------------------------------------------------------------------
UNET_BATCH_SIZE = 5  # tiles a step learns from; lower or raise it as the GPU's memory allows
# Times it sees all pairs, in four flips. With too many it merges or splits real particles: that
# val_loss in 3_UNet's training_log.csv still falls does not say that real masks get better.
UNET_EPOCHS = preset(published=50, quick=8)
# "mask", as published: particles are split at narrow places of the mask. "instances": the network
# learns where each particle's centre is too, and particles are grown from there.
UNET_TARGET = "instances"
# True: the mean of what the network says of an image and its three flips. "rotations": of those
# turned by a right angle, too. Better, and four and eight times the work. Published: False.
UNET_TEST_TIME_FLIPS = "rotations"
# Micrographs are enlarged by this factor for the UNet, so that gaps of a pixel, which it would
# paint over, become wider. Time and memory grow with its square. Published: 1.
UNET_TEST_TIME_MAGNIFICATION = 1.25
# True: each fake micrograph is blurred, shaded and given noise differently each time the UNet sees
# it, so that it learns nothing real ones do not have, and a background as bright as it is somewhere
# in yours. Published: False.
UNET_VARY_IMAGING = True
# How many times more a pixel counts in the UNet's loss where particles touch (less where they are
# farther apart), so that it learns to keep them apart. Published: 0.
UNET_GAP_WEIGHT = 10.0
# Percentiles the micrographs are clipped to. If one is 0 or 100, nothing is clipped at either end.
UNET_CONTRAST_OPTIMIZATION_RANGE = (0.5, 99.5)
UNET_FILTERS = preset(published=16, quick=8)  # of the first block
USE_DATALOADER = True  # False loads all training images into memory first, 2.4 MB a tile of 384

# --- Folders of the steps, as in the published workflow -----------------------------------------
WGAN_DIR = f"{ROOT_DIR}/1_WGAN"  # its networks, and previews of its outlines
CYCLEGAN_DIR = f"{ROOT_DIR}/2_CycleGAN"  # its networks, its data, previews, what it translates
UNET_DIR = f"{ROOT_DIR}/3_UNet"  # its networks


def steps(run_step):
    """Run the steps in order, each in a process of its own. Comment out what is not to run."""
    # Where images are cut into tiles (steps 4 and 6b, if RUN_INFERENCE_ON_WHOLE_IMAGE = False).
    tiling = {
        "min_overlap": 2,  # pixels; it means what it does in step 0, where it is 0
        "manage_overlap_mode": 2,  # where tiles overlap: 0 maximum, 1 average, 2 crop
    }
    # How masks are split where narrow (steps 5, 6b, 8; in 6b not with UNET_TARGET = "instances").
    # To change it for one step, write **splitting | {"min_distance": 12} in its call.
    splitting = {
        "watershed_lines": True,  # False: touching particles stay one
        # Between two particles' centres, in pixels as the networks see them (MICROGRAPH_SCALE). A
        # small particle that lies that close to a larger one is lost, whether or not they touch.
        "min_distance": preset(published=9, quick=5),
    }
    run_step(
        "0",
        "prepare_images",
        images_dir=INPUT_DIR_IMAGES,
        cyclegan_dir=CYCLEGAN_DIR,
        tile_height=TILE_SIZE_H,
        tile_width=TILE_SIZE_W,
        num_tiles=NUM_SIMULATED_MASKS,
        # pixels; along a side there is one tile more where its overlaps add up to no more than this
        min_overlap=0,
        dark_background=DARK_BACKGROUND,
        image_crop=IMAGE_CROP,
        micrograph_scale=MICROGRAPH_SCALE,
        seed=SEED,
    )
    run_step(
        "1",
        "train_wgan",
        masks_dir=INPUT_DIR_MASKS,
        invert_masks=INVERT_INPUT_MASKS,
        micrograph_scale=MICROGRAPH_SCALE,
        wgan_dir=WGAN_DIR,
        batch_size=WGAN_BATCH_SIZE,
        epochs=WGAN_EPOCHS,
        latent_size=128,  # random numbers an outline is drawn from
        critic_steps=3,  # critic updates per generator update
        gradient_penalty_weight=10.0,  # keeps the critic smooth; raise it if its losses run away
        learning_rate=2e-4,  # of both networks' Adam; lower it if the losses jump
        beta_1=0.5,  # Adam's decay of the mean gradient
        beta_2=0.9,  # and of its square; the betas are seldom changed
        preview_every=20,  # epochs
        checkpoint_minutes=CHECKPOINT_MINUTES,
        precision=PRECISION,
        seed=SEED,
        # a WGAN whose outlines step 2 does not use need not stop the run
        when_failed=WHEN_A_NETWORK_FAILS if OUTLINE_SOURCE == "wgan" else "warn",
    )
    run_step(
        "2",
        "simulate_masks",
        wgan_dir=WGAN_DIR,
        cyclegan_dir=CYCLEGAN_DIR,
        masks_dir=INPUT_DIR_MASKS,
        invert_masks=INVERT_INPUT_MASKS,
        micrograph_scale=MICROGRAPH_SCALE,
        outline_source=OUTLINE_SOURCE,
        # a run folder such as "2026-01-31_12-00-00"; None is the newest (a renamed one is used only
        # if it is named here)
        wgan_model=None,
        num_masks=NUM_SIMULATED_MASKS,
        tile_height=TILE_SIZE_H,
        tile_width=TILE_SIZE_W,
        grid_type="HEXAGONAL",  # "HEXAGONAL", "CUBIC" or "DISABLE" (random positions)
        # of the frame that all outlines share: the largest image's sides, its black margin
        # included, so crop outlines closely (augmented: with room for each to grow)
        grid_spacing_factor=0.125,
        grid_noise_factor=0.05,  # jitter, of the same
        # without a grid and MATCH_SCENES only: how many are tried, over the image and the margin
        # all round in which a particle's middle may lie
        min_no_of_particles=100,
        max_no_of_particles=150,
        use_perlin_noise=True,  # smooth noise decides where agglomerates are
        # 0 to 1; higher: smaller, denser clusters. Without MATCH_SCENES choose it, and the
        # frequency, so that the masks look like the micrographs: agglomerates of the same size,
        # at the same distance
        perlin_noise_threshold=preset(published=0.5, quick=0.62),
        perlin_noise_frequency=preset(published=4, quick=6),  # periods over the canvas
        use_normal_distribution=True,  # of particle scales; False: uniform between the limits
        # MATCH_SCENES looks for the scale from here on; the ratios stay. Without it particles lose
        # 2 pixels all round: (d + 4) / d makes up for it, where they are d pixels across
        scaling_mu=1.0,
        scaling_sigma=0.10,  # of the normal distribution
        min_scaling=0.75,  # with the normal distribution the limits are mu -+ 3 sigma
        max_scaling=1.25,  # these are the uniform distribution's
        # "DISABLE": as traced, and mirrored (augmented outlines turned by up to 15 degrees, too);
        # "RANDOM": needles in all directions; "PERLIN": neighbours alike
        use_random_rotation="DISABLE",
        # Outlines lose what is narrower than 9 pixels, in all directions. Published: "SQUARE",
        # which makes round particles angular, and asks for needles on the slant 13 pixels wide.
        smoothing="DISK",
        max_overlap=MAX_PARTICLE_OVERLAP,
        match_scenes=MATCH_SCENES,
        dark_background=DARK_BACKGROUND,
        seed=SEED,
        when_failed=WHEN_A_NETWORK_FAILS,
    )
    run_step(
        "3",
        "train_cyclegan",
        cyclegan_dir=CYCLEGAN_DIR,
        batch_size=CYCLEGAN_BATCH_SIZE,
        epochs=CYCLEGAN_EPOCHS,
        filters=CYCLEGAN_FILTERS,
        use_skip_connection=CYCLEGAN_USE_SKIPS,
        use_resize_convolution=preset(published=False, quick=True),  # fewer checkerboard patterns
        use_binary_crossentropy=False,  # for the mask side; needs lambda_identity=(0, 0)
        # Negate the micrographs on their way in and out: so particles are bright in both domains,
        # and the generators need not learn that. Published: False.
        invert_images=not DARK_BACKGROUND,
        # Start with generators that draw bright what is bright, so that they do not exchange
        # particles and background; needs invert_images as above. Published: False.
        same_contrast=True,
        lambda_cycle=(10.0, 10.0),  # (micrographs, masks)
        lambda_identity=(0.5, 0.5),  # times lambda_cycle
        label_smoothing_factor=0.0,  # 0.1: discriminators are to say 0.95 and 0.05, not 1 and 0
        gaussian_noise_value=0.0,  # in the discriminators; weakens one that wins
        pool_size=50,  # earlier fakes shown to the discriminators; 0 for none
        learning_rate=2e-4,  # of all four networks' Adam; lower it if the losses jump
        beta_1=0.5,  # Adam's decay of the mean gradient; seldom changed
        constant_learning_rate_share=0.75,  # of the epochs; then linear to 0
        checkpoint_minutes=CHECKPOINT_MINUTES,
        precision=PRECISION,
        seed=SEED,
        when_failed=WHEN_A_NETWORK_FAILS,
    )
    run_step(
        "4",
        "translate_images",
        cyclegan_dir=CYCLEGAN_DIR,
        images_dir=INPUT_DIR_IMAGES,
        cyclegan_model=None,  # a run folder; None is the newest
        whole_image=RUN_INFERENCE_ON_WHOLE_IMAGE,
        tile_height=TILE_SIZE_H,
        tile_width=TILE_SIZE_W,
        **tiling,
        use_gpu_for_whole_image=USE_GPU_FOR_WHOLE_IMAGE_INFERENCE,
        image_crop=IMAGE_CROP,
        micrograph_scale=MICROGRAPH_SCALE,
    )
    run_step(
        "5",
        "filter_masks",
        cyclegan_dir=CYCLEGAN_DIR,
        images_dir=INPUT_DIR_IMAGES,
        output_dir=OUTPUT_DIR_CYCLEGAN,
        dark_background=DARK_BACKGROUND,
        gaussian_blur_amount=GAUSSIAN_BLUR_AMOUNT,
        threshold=-1,  # of the raw masks, 0 to 255; negative: Otsu
        **splitting,
        image_crop=IMAGE_CROP,
        micrograph_scale=MICROGRAPH_SCALE,
        when_failed=WHEN_A_NETWORK_FAILS,
    )
    run_step(
        "6a",
        "train_unet",
        cyclegan_dir=CYCLEGAN_DIR,
        images_dir=INPUT_DIR_IMAGES,  # how uneven their background is, for vary_imaging
        unet_dir=UNET_DIR,
        batch_size=UNET_BATCH_SIZE,
        epochs=UNET_EPOCHS,
        # Where there are so many pairs that the epochs would be more steps than this, each goes
        # through some of them: long trainings on fakes merge more real particles. Published: None.
        most_steps=preset(published=None, quick=750),
        filters=UNET_FILTERS,
        target=UNET_TARGET,
        contrast_range=UNET_CONTRAST_OPTIMIZATION_RANGE,
        # False: micrographs are negated for the UNet. Step 6b takes this, and the scale, from here.
        dark_background=DARK_BACKGROUND,
        image_crop=IMAGE_CROP,
        micrograph_scale=MICROGRAPH_SCALE,
        use_dataloader=USE_DATALOADER,
        use_brightness_and_contrast_augmentation=False,  # True: each by up to 20 %, at random
        vary_imaging=UNET_VARY_IMAGING,
        gap_weight=UNET_GAP_WEIGHT,
        # In the loss a particle's pixel counts as many times as there are more of the background,
        # but no more than this: masks of few particles get too large otherwise. Published: None,
        # no limit.
        largest_particle_weight=3.0,
        # 0 to 1, such as 0.5: leave out the fake micrographs that show less of what their masks do
        # (2_CycleGAN/generate_images/pairs.csv has their fidelity)
        least_fidelity=0.0,
        validation_share=0.2,  # of the pairs, not trained on, to find the best epoch by
        learning_rate=1e-3,  # Adam's, at the start; lower it if the losses jump
        # "STEP_DECAY": halved every 10 epochs. "LINEAR_DECAY": to 0 at the end. A number such as
        # 1e-4: the weights decay by it instead
        learning_rate_schedule=preset(published="STEP_DECAY", quick="LINEAR_DECAY"),
        batch_norm_momentum=preset(published=0.99, quick=0.9),  # smaller for short trainings
        checkpoint_minutes=CHECKPOINT_MINUTES,
        precision=PRECISION,
        seed=SEED,
    )
    run_step(
        "6b",
        "segment_images",
        unet_dir=UNET_DIR,
        images_dir=INPUT_DIR_IMAGES,
        output_dir=OUTPUT_DIR_UNET,
        unet_model=None,  # a run folder; None is the newest
        whole_image=RUN_INFERENCE_ON_WHOLE_IMAGE,
        tile_height=TILE_SIZE_H,
        tile_width=TILE_SIZE_W,
        **tiling,
        use_gpu_for_whole_image=USE_GPU_FOR_WHOLE_IMAGE_INFERENCE,
        average_flips=UNET_TEST_TIME_FLIPS,
        magnification=UNET_TEST_TIME_MAGNIFICATION,
        contrast_range=UNET_CONTRAST_OPTIMIZATION_RANGE,
        # Micrographs of less contrast than the median of their folder, such as those of few
        # particles, are stretched by their tile of the most contrast, and no further than the
        # median, so that their noise is not taken for particles. Published: False, each by itself
        # (UNET_VARY_IMAGING learns backgrounds of micrographs that are stretched as with True).
        usual_contrast=True,
        # of the stretched probability, 0 to 255; negative: Otsu, of the brighter pixels alone where
        # particles are few, and a half where they leave hardly any background
        threshold=-1,
        **splitting,
        image_crop=IMAGE_CROP,
        when_failed=WHEN_A_NETWORK_FAILS,
    )
    run_step(
        "7",
        "measure_particles",
        masks_dir=OUTPUT_DIR_UNET,
        images_dir=INPUT_DIR_IMAGES,
        results_dir=RESULTS_DIR,
        pixel_size_nm=PIXEL_SIZE_NM,
        exclude_border=True,  # particles cut by the image's edge have no known size
        # the line of one pixel between touching particles counts as part of one of them; False, as
        # published: of neither
        give_back_lines=True,
        # ranges to keep, in the units of particles.csv (nm2 and nm where pixel sizes are known),
        # such as {"area": (1000, None), "convexity": (0.8, 1.0)}
        filters={},
        image_crop=IMAGE_CROP,
        wgan_dir=WGAN_DIR,  # these for the report: training curves and previews
        cyclegan_dir=CYCLEGAN_DIR,
        unet_dir=UNET_DIR,
        seed=SEED,
    )
    run_step(
        "8",
        "score_masks",
        masks_dir=OUTPUT_DIR_UNET,
        true_masks_dir=TRUE_MASKS_DIR,
        results_dir=RESULTS_DIR,
        **splitting,  # for the masks at each threshold
    )


if __name__ == "__main__":
    run_workflow(steps, options=globals(), selected=sys.argv[1:])

"""The steps: their functions, what they read and what they leave."""

# Number, function, and title of each step; the steps whose output it reads; the keyword arguments
# that name the user's own folders; the folders it writes, from its keywords.
STEPS = {
    "0": ("prepare_images", "folders and real tiles", (), ("images_dir",)),
    "1": ("train_wgan", "training the WGAN", (), ("masks_dir",)),
    "2": ("simulate_masks", "simulating masks", ("0", "1"), ("masks_dir",)),
    "3": ("train_cyclegan", "training the CycleGAN", ("0", "2"), ()),
    "4": ("translate_images", "translating masks and micrographs", ("2", "3"), ("images_dir",)),
    "5": ("filter_masks", "filtering masks", ("2", "4"), ("images_dir",)),
    "6a": ("train_unet", "training the UNet", ("4", "5"), ()),
    "6b": ("segment_images", "segmenting the micrographs", ("6a",), ("images_dir",)),
    "7": ("measure_particles", "measuring particles", ("6b",), ("images_dir", "masks_dir")),
    "8": ("score_masks", "scoring masks", ("6b", "7"), ("true_masks_dir", "masks_dir")),
}
# What each step leaves; of files in run folders (*) those in the latest.
OUTPUTS = {
    "0": ("{cyclegan_dir}/data/trainA", "{cyclegan_dir}/data/testA"),
    "1": ("{wgan_dir}/Models/*/model.keras",),
    "2": ("{cyclegan_dir}/data/trainB", "{cyclegan_dir}/data/labelsB"),
    "3": (
        "{cyclegan_dir}/Models/*/image_to_mask.keras",
        "{cyclegan_dir}/Models/*/mask_to_image.keras",
    ),
    "4": ("{cyclegan_dir}/generate_images/A", "{cyclegan_dir}/generate_images/B"),
    "5": (
        "{cyclegan_dir}/generate_images/A_blurred",
        "{cyclegan_dir}/generate_images/Synthetic_Masks_Filtered",
        "{cyclegan_dir}/generate_images/Synthetic_Labels_Filtered",
        "{output_dir}",
    ),
    "6a": (
        "{unet_dir}/Models/*/model.keras",
        "{unet_dir}/Models/*/Checkpoint_Lowest_Loss.keras",
    ),
    "6b": ("{output_dir}",),
    "7": ("{results_dir}/*/particles.csv",),
    "8": ("{results_dir}/*/scores.csv",),
}

"""The steps of the workflow, from folder to folder, and what they stand on."""

"""The steps of the workflow, from folder to folder, and what they stand on."""

# Of this program: in every record of what was made. Raised with each release, and then in
# pyproject.toml too; what another version made is made again, but for trained networks.
PROGRAM = "particles-without-annotation"
VERSION = "0.1.0"

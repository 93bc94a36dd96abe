"""What stands in files: images in their formats, scales, info bars, tables, pairs."""

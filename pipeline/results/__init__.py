"""What step 7 leaves beside the report: tables, plots, overlays, ImageJ ROIs, doubts."""
